//! Links come (part 2, 2.6.3 and 2.6.4).

use postroad_codec::v1_0::{Attach, ByteString, Encode as _, Error, ErrorCondition, Fields, FrameHeader, Handle, Role};

use super::arena::Key;
use super::input::SessionFault;
use super::link::{Link, Phase};
use super::resume::Resuming;
use super::{Connection, ConnectionError, Event, LimitError, LinkId, LinkState, LinkTerms, SessionId};

/// What a flow takes at most, but for its properties.
const FLOW: usize = 96;

impl Connection {
    /// Attaches a link. [`Event::LinkAttached`] or [`Event::LinkDetached`] follows.
    ///
    /// Links may be attached before the peer has answered the begin; where it then takes fewer handles, the session ends.
    ///
    /// # Errors
    /// When the session is over, every handle is in use, the name is taken by a link of this role, or the
    /// attach does not fit into a frame: one of 512 bytes before the peer's open has come.
    pub fn attach(
        &mut self,
        session: SessionId,
        name: impl Into<ByteString>,
        role: Role,
        terms: LinkTerms,
    ) -> Result<LinkId, LimitError> {
        self.attach_link(session, name.into(), role, terms, None)
    }

    /// Attaches a link again, and takes over what it had not settled (2.6.13): `state` is left without unsettled
    /// deliveries. Terms without source or target are those of the state. Beside the events of a new link,
    /// [`Event::Update`]s tell what becomes of deliveries that were sent before, [`Event::Reassociated`] the new numbers
    /// of those that were received, and [`Event::Resumed`] the end of it.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); then the state stays as it was.
    pub fn resume(
        &mut self,
        session: SessionId,
        state: &mut LinkState,
        mut terms: LinkTerms,
    ) -> Result<LinkId, LimitError> {
        terms.continue_from(state);
        self.attach_link(session, state.name.clone(), state.role, terms, Some((state, false)))
    }

    /// Attaches a link anew, for a peer that is not to know what it had before: no map is told. `state` is left without
    /// unsettled deliveries. Those of a sender are sent again under their tags, in order and before anything new, or are in
    /// doubt, as [`resend_lost`](LinkTerms::resend_lost) says; those with an outcome are settled. Those of a receiver are
    /// over, and no event tells of each. [`Event::Resumed`] tells the end of it. Terms without source or target are those
    /// of the state.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); then the state stays as it was.
    pub fn restart(
        &mut self,
        session: SessionId,
        state: &mut LinkState,
        mut terms: LinkTerms,
    ) -> Result<LinkId, LimitError> {
        terms.continue_from(state);
        self.attach_link(session, state.name.clone(), state.role, terms, Some((state, true)))
    }

    fn attach_link(
        &mut self,
        session: SessionId,
        name: ByteString,
        role: Role,
        terms: LinkTerms,
        state: Option<(&mut LinkState, bool)>,
    ) -> Result<LinkId, LimitError> {
        let ended = self.over.is_some() || self.close_sent;
        let live = self.sessions.get_mut(session.0).filter(|session| !ended && session.is_live());
        let live = live.ok_or(LimitError::Ended)?;
        // A name is held by one link of each role (2.6.1); a sender and a receiver may share it.
        if self.names[role as usize].contains_key(&name) {
            return Err(LimitError::NameInUse);
        }
        let handle = live.free_handle().ok_or(LimitError::NoneFree)?;
        let channel = live.channel;
        let holder = name.clone();
        let key = self.links.insert(|key| Link::new(LinkId(key), session.0, channel, name, role, Phase::AttachSent));
        live.handles[handle as usize] = Some(key);
        live.links += 1;
        self.names[role as usize].entry(holder).or_default().push(key);
        let link = self.links.get_mut(key).expect("just added");
        link.handle = Handle(handle);
        link.terms = terms;
        link.blocked = true;
        if role == Role::Sender {
            link.delivery_count = link.terms.initial_delivery_count;
        }
        match self.own_attach(key, state) {
            Ok(attach) => {
                self.links.get_mut(key).expect("just added").anew = attach.unsettled.is_none();
                self.put(channel, &attach);
            }
            Err(error) => {
                self.forget_link(key);
                return Err(error);
            }
        }
        Ok(LinkId(key))
    }

    /// Our attach, with as much of what is resumed as fits into a frame, or nothing of it where the link is attached anew.
    fn own_attach(&mut self, key: Key, mut state: Option<(&mut LinkState, bool)>) -> Result<Attach, LimitError> {
        let limit = self.frame_limit();
        let link = self.links.get_mut(key).expect("the caller has it");
        link.resuming = state.as_mut().map(|(state, anew)| Box::new(Resuming::new(state, *anew)));
        if link.fit_unsettled(limit) {
            let attach = link.attach();
            if FrameHeader::LENGTH + attach.encoded_len() <= limit {
                return Ok(attach);
            }
        }
        if let (Some((state, _)), Some(resuming)) = (state, link.resuming.take()) {
            state.unsettled = resuming.into_unsettled();
        }
        Err(LimitError::FrameSize)
    }

    /// Answers a link that the peer attaches.
    ///
    /// # Errors
    /// When the link or its session is over, or the peer's handles are all in use: then an attach cannot
    /// be answered at all, and the session ends. When the attach does not fit into a frame; then the link
    /// waits for other terms, or for [`refuse`](Connection::refuse).
    pub fn accept(&mut self, link: LinkId, terms: LinkTerms) -> Result<(), LimitError> {
        self.accept_link(link, terms, None)
    }

    /// Answers a link that the peer attaches again, and takes over what it had not settled at our end: `state` is left
    /// without unsettled deliveries. The events are those of [`resume`](Self::resume).
    ///
    /// # Errors
    /// As [`accept`](Self::accept); then the state stays as it was.
    pub fn accept_resumed(
        &mut self,
        link: LinkId,
        state: &mut LinkState,
        mut terms: LinkTerms,
    ) -> Result<(), LimitError> {
        terms.continue_from(state);
        let heard = self.links.get(link.0).is_some_and(|link| !link.tells(&state.unheard));
        let unheard = if heard { std::mem::take(&mut state.unheard) } else { Vec::new() };
        let accepted = self.accept_link(link, terms, Some(state));
        if heard && accepted.is_err() {
            state.unheard = unheard;
        }
        accepted
    }

    fn accept_link(&mut self, link: LinkId, terms: LinkTerms, state: Option<&mut LinkState>) -> Result<(), LimitError> {
        self.answer_attach(link, terms, state)?;
        let link = self.links.get_mut(link.0).expect("answer_attach had it");
        link.blocked = true;
        let (id, role, echo) = (link.id, link.role, link.echo);
        let (drain, has_credit) = (link.drain, link.credit > 0);
        self.exchange_unsettled(id.0);
        if echo || (role == Role::Receiver && has_credit) {
            self.mark_flow(id.0);
        }
        if role == Role::Sender {
            if drain {
                self.events.push_back(Event::Drain(id));
            }
            self.announce_credit(id.0);
        }
        Ok(())
    }

    /// Refuses a link that the peer attaches: an attach without terminus, then a detach that says why
    /// (2.6.3). [`Event::LinkDetached`] follows when the peer has answered. The session ends when not even
    /// that fits into a frame.
    pub fn refuse(&mut self, link: LinkId, error: Error) {
        match self.answer_attach(link, LinkTerms::default(), None) {
            Ok(()) => self.detach(link, true, Some(error)),
            Err(LimitError::FrameSize) => {
                let Some(SessionId(session)) = self.session_of(link) else { return };
                let text = "the answer to an attach does not fit into a frame";
                self.end_faulty(session, Box::new(Error::new(ErrorCondition::FRAME_SIZE_TOO_SMALL, text)));
            }
            Err(_) => {}
        }
    }

    pub(super) fn answer_attach(
        &mut self,
        link: LinkId,
        terms: LinkTerms,
        state: Option<&mut LinkState>,
    ) -> Result<(), LimitError> {
        let ended = self.over.is_some() || self.close_sent;
        let waiting = self.links.get_mut(link.0).filter(|link| !ended && link.phase == Phase::AttachReceived);
        let waiting = waiting.ok_or(LimitError::Ended)?;
        let key = waiting.session;
        let session = self.sessions.get_mut(key).ok_or(LimitError::Ended)?;
        let Some(handle) = session.free_handle() else {
            let text = "no handle is free to answer an attach";
            self.end_faulty(key, Box::new(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text)));
            return Err(LimitError::NoneFree);
        };
        waiting.handle = Handle(handle);
        waiting.terms = terms;
        let channel = waiting.channel;
        let attach = self.own_attach(link.0, state.map(|state| (state, false)))?;
        let session = self.sessions.get_mut(key).expect("looked up above");
        session.handles[handle as usize] = Some(link.0);
        let waiting = self.links.get_mut(link.0).expect("looked up above");
        waiting.phase = Phase::Attached;
        waiting.unheard = waiting.unanswered(&attach);
        if waiting.role == Role::Sender {
            waiting.delivery_count = waiting.terms.initial_delivery_count;
        }
        self.answer(channel, &attach);
        Ok(())
    }

    /// The terms on which our end of a link is attached.
    #[must_use]
    pub fn terms(&self, link: LinkId) -> Option<&LinkTerms> {
        self.link(link).map(|link| &link.terms)
    }

    /// Whether our end of a link is attached: it has said so, and neither detach nor end nor close since.
    #[must_use]
    pub fn is_attached(&self, link: LinkId) -> bool {
        let phase = self.link(link).map(|link| link.phase);
        !self.close_sent && matches!(phase, Some(Phase::AttachSent | Phase::Attached))
    }

    /// The peer's attach of a link, once it has come.
    #[must_use]
    pub fn remote_attach(&self, link: LinkId) -> Option<&Attach> {
        self.link(link)?.remote.as_deref()
    }

    /// What a flow of the peer's told last of a link, beside the standard's fields (2.7.4), such as the transaction that
    /// messages are acquired in (part 4, 4.4.3).
    #[must_use]
    pub fn remote_flow_properties(&self, link: LinkId) -> Option<&Fields> {
        self.link(link)?.remote_flow_properties.as_deref()
    }

    /// Has our flows tell this of a link, from now on; a flow goes out with it. `false`: a flow with it would be larger
    /// than the frames that the peer takes, and nothing has changed.
    pub fn set_flow_properties(&mut self, link: LinkId, properties: Option<Fields>) -> bool {
        let fits = properties.as_ref().is_none_or(|fields| fields.encoded_len() + FLOW <= self.frame_limit());
        if let Some(known) = self.links.get_mut(link.0).filter(|_| fits) {
            known.flow_properties = properties.map(Box::new);
            self.mark_flow(link.0);
        }
        fits
    }

    /// Asks the peer for its flow state of a link: a flow goes out that wants an answer (2.7.4, echo). What the answer
    /// tells shows in the events and views of the link.
    pub fn ask_flow(&mut self, link: LinkId) {
        if let Some(known) = self.links.get_mut(link.0) {
            known.ask = true;
            self.mark_flow(link.0);
        }
    }

    /// The session of a link.
    #[must_use]
    pub fn session_of(&self, link: LinkId) -> Option<SessionId> {
        Some(SessionId(self.link(link)?.session))
    }

    /// Our end of a link.
    #[must_use]
    pub fn role_of(&self, link: LinkId) -> Option<Role> {
        Some(self.link(link)?.role)
    }

    pub(crate) fn handle_attach(&mut self, key: Key, attach: Attach) -> Result<(), SessionFault> {
        let handle_max = self.config.handle_max;
        if attach.handle.0 > handle_max {
            // 2.7.2 makes this one fatal for the connection.
            let text = format!("handle {} is above the limit of {handle_max}", attach.handle);
            self.fail(ConnectionError::violation(ErrorCondition::FRAMING_ERROR, text));
            return Ok(());
        }
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        let index = attach.handle.0 as usize;
        if session.remote_handles.len() <= index {
            session.remote_handles.resize(index + 1, None);
        }
        if session.remote_handles[index].is_some() {
            let text = format!("handle {} is in use", attach.handle);
            return Err(SessionFault::new(ErrorCondition::HANDLE_IN_USE, text));
        }
        let channel = session.channel;
        let role = attach.role.opposite();
        let holders = self.names[role as usize].get(&attach.name).cloned().unwrap_or_default();
        let asked = holders.iter().find(|holder| {
            self.links.get(**holder).is_some_and(|link| link.session == key && link.remote_handle.is_none())
        });
        if let Some(link) = asked.and_then(|asked| self.links.get_mut(*asked)) {
            let id = link.id;
            session.remote_handles[index] = Some(id.0);
            // Without one the peer may be about to refuse the link (2.6.3): nothing is decided on the word of that.
            let has_terminus = match role {
                Role::Sender => attach.target.is_some(),
                Role::Receiver => attach.source.is_some(),
            };
            link.attached(attach);
            if link.phase == Phase::AttachSent {
                link.phase = Phase::Attached;
                self.events.push_back(Event::LinkAttached(id));
                let has_credit = link.role == Role::Receiver && link.credit > 0;
                if has_terminus {
                    link.anew = false;
                    self.exchange_unsettled(id.0);
                }
                if has_credit {
                    self.mark_flow(id.0);
                }
            }
            return Ok(());
        }
        let name = attach.name.clone();
        let link = self.links.insert(|link| {
            let mut made = Link::new(LinkId(link), key, channel, name.clone(), role, Phase::AttachReceived);
            made.attached(attach);
            made
        });
        self.names[role as usize].entry(name).or_default().push(link);
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        session.remote_handles[index] = Some(link);
        session.links += 1;
        self.events.push_back(Event::LinkIncoming(LinkId(link)));
        // 2.6.1: whoever attaches a link that is attached takes it over. One that we have asked for, and
        // the peer has not answered, stays: this is no answer to it, or it would be on its session.
        for older in holders {
            if self.links.get(older).is_some_and(|link| matches!(link.phase, Phase::Attached | Phase::AttachReceived)) {
                let error = Error { condition: ErrorCondition::STOLEN, ..Error::default() };
                self.detach_faulty(LinkId(older), false, error);
            }
        }
        Ok(())
    }
}
