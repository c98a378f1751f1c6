//! Links that their peers send elsewhere (AMQP 1.0 part 2, 2.8.18).

use postroad_client::{AttachError, Redirect, RedirectError};

use super::Reactor;
use crate::{Connection, Link};

impl Reactor {
    /// Attaches a link where its peer has sent it; `false` where it has not, or that is not to be followed.
    pub(super) fn follow(&mut self, link: &Link, error: &AttachError) -> Result<bool, RedirectError> {
        let connection = link.connection().clone();
        let Some(client) = connection.inner.client.get() else { return Ok(false) };
        let Some(redirect) = error.redirect()? else { return Ok(false) };
        let options = client.redirect_options(&redirect)?;
        let most = options.max_redirects;
        if most == 0 || link.is_closing() {
            return Ok(false);
        }
        if link.home().moves() >= most {
            return Err(RedirectError::TooMany(most));
        }
        if client.is_redirect_here(&redirect) {
            link.home().move_to(link.session().clone(), redirect.address);
        } else {
            let there = match self.went_before(&connection, &redirect) {
                Some(there) => there,
                None => {
                    let there = Connection::redirected(&connection, &options);
                    self.connect(there.clone(), Ok(Box::new(options)), None);
                    if let Some(known) = self.connections.get_mut(&connection.number()) {
                        known.redirects.push((redirect.clone(), there.clone()));
                    }
                    there
                }
            };
            let session = there.default_session();
            session.begin();
            link.home().move_to(session, redirect.address);
            there.add_tenant();
            self.leave(&connection);
        }
        match link {
            Link::Sender(sender) => self.attach_sender(sender.clone(), None),
            Link::Receiver(receiver) => self.attach_receiver(receiver.clone(), None),
        }
        Ok(true)
    }

    /// The connection to where another link of this one was sent.
    fn went_before(&self, connection: &Connection, redirect: &Redirect) -> Option<Connection> {
        let known = self.connections.get(&connection.number())?;
        let is_there = |there: &Redirect| {
            (&there.hostname, &there.network_host, there.port)
                == (&redirect.hostname, &redirect.network_host, redirect.port)
        };
        let (_, there) = known.redirects.iter().find(|(there, _)| is_there(there))?;
        (!there.inner.closing.has_begun() && self.connections.contains_key(&there.number())).then(|| there.clone())
    }

    /// A link is gone from a connection: one that was made for such links is closed behind the last.
    pub(super) fn leave(&self, connection: &Connection) {
        if connection.is_redirected() && connection.remove_tenant() == 0 {
            connection.close();
        }
    }
}
