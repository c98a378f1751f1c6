//! Questions to a peer of AMQP 1.0: the standard has none, so a link is attached to the node and closed again.

use std::collections::HashMap;

use postroad_codec::v1_0::{DistributionMode, ErrorCondition, Source, Target};

use super::{Engine, LinkTerms, nodes};
use crate::protocol::{LimitError, LinkId, News, Protocol as _, Query, Role, SessionId};
use crate::{LinkError, Node};

/// Links that ask, by the token of the question, and the answer once it is there.
#[derive(Debug, Default)]
pub(super) struct Queries(HashMap<LinkId, (u64, Option<Node>)>);

impl Queries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Engine {
    /// A link that would browse takes nothing, and without credit nothing comes.
    pub(super) fn put_query(&mut self, session: SessionId, query: &Query, token: u64) -> Result<(), LimitError> {
        let Query::Node(address) = query;
        let terms = LinkTerms {
            source: Some(Source {
                address: Some(address.clone().into()),
                distribution_mode: Some(DistributionMode::COPY),
                ..Source::default()
            }),
            target: Some(Target::default().into()),
            ..LinkTerms::default()
        };
        let link = self.inner.attach(session, format!("query-{token}"), Role::Receiver, terms)?;
        self.queries.0.insert(link, (token, None));
        Ok(())
    }

    /// Keeps news of links that ask to itself, and tells the answer.
    pub(super) fn answered(&mut self, news: News) -> Option<News> {
        match news {
            News::LinkAttached(link) => {
                let Some((_, answer)) = self.queries.0.get_mut(&link) else { return Some(news) };
                let source = self.inner.remote_attach(link).and_then(|attach| attach.source.as_deref());
                *answer = source.map(nodes::node_of_source);
                if answer.is_some() {
                    self.detach(link, None);
                }
                None
            }
            News::LinkEnded { link, error, .. } if self.queries.0.contains_key(&link) => {
                let (token, answer) = self.queries.0.remove(&link)?;
                self.inner.release(link);
                let missing = |error: &LinkError| {
                    error.peer_error().is_some_and(|error| error.condition == ErrorCondition::NOT_FOUND)
                };
                let answer = match (answer, error) {
                    (Some(node), LinkError::DetachedByPeer) => Ok(Some(node)),
                    (_, error) if missing(&error) => Ok(None),
                    (_, error) => Err(error),
                };
                Some(News::Answer { token, answer })
            }
            News::SessionEnded(session, _) => {
                let engine = &self.inner;
                self.queries.0.retain(|link, _| engine.session_of(*link).is_some_and(|of| of != session));
                Some(news)
            }
            news => Some(news),
        }
    }
}
