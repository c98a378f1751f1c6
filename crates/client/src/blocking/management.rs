//! Nodes of a broker that are made, described, bound and deleted.

use super::{ConnectionGuard, mirror};
use crate::types::Fields;
use crate::{Binding, ManagementError, NodeKind};

mirror! {
    /// The nodes of a broker, as their manager sees them. [`Session::management`](super::Session::management) attaches to it.
    #[derive(Debug)]
    pub struct Management of crate::Management, under ConnectionGuard;

    wait fn declare(&mut self, kind: NodeKind, name: &str, properties: Fields) -> Result<bool, ManagementError>;
    wait fn describe(&mut self, kind: NodeKind, name: &str) -> Result<Option<Fields>, ManagementError>;
    wait fn delete(&mut self, kind: NodeKind, name: &str) -> Result<bool, ManagementError>;
    wait fn bind(&mut self, binding: &Binding) -> Result<(), ManagementError>;
    wait fn unbind(&mut self, binding: &Binding) -> Result<(), ManagementError>;
    wait fn is_bound(&mut self, binding: &Binding) -> Result<bool, ManagementError>;
}
