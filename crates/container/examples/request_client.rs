//! Asks a service, one request after the other, and has the answers sent to a node that the service makes for it.
//!
//! ```sh
//! cargo run -p postroad-container --example request_server &
//! cargo run -p postroad-container --example request_client -- amqp://127.0.0.1:5673/service Twas brillig
//! ```
//!
//! `Connection::create_requester` does all of it, with correlation ids and a time limit for each answer.

use std::collections::VecDeque;

use postroad_container::{Container, Event, Handler, LinkOptions, Message, RunError, Sender};

pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) questions: VecDeque<String>,
    requests: Option<Sender>,
    reply_to: Option<String>,
}

impl Client {
    pub(crate) fn new(url: impl Into<String>, questions: impl IntoIterator<Item = String>) -> Self {
        let questions = questions.into_iter().collect();
        Self { url: url.into(), questions, requests: None, reply_to: None }
    }

    /// Sends the next question; it goes once there are credit and an address for the answer.
    fn ask(&self) {
        let (Some(requests), Some(reply_to)) = (&self.requests, &self.reply_to) else { return };
        if let Some(question) = self.questions.front().filter(|_| requests.credit() > 0 && requests.queued() == 0) {
            let request = Message::from(question.as_str()).with_reply_to(reply_to.as_str());
            if let Err(error) = requests.send(&request) {
                eprintln!("not sent: {error}");
            }
        }
    }
}

impl Handler for Client {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let requests = event.container().create_sender(&self.url);
        requests.connection().create_receiver_with(LinkOptions::new().dynamic());
        self.requests = Some(requests);
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        // Again, with another address, where the connection was made anew.
        if let Some(receiver) = event.receiver() {
            self.reply_to = receiver.remote_source().and_then(|source| source.address);
            self.ask();
        }
    }

    fn on_sendable(&mut self, _: &mut Event<'_>) {
        if self.reply_to.is_some() && self.requests.as_ref().is_some_and(|requests| requests.queued() == 0) {
            self.ask();
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let Some(question) = self.questions.pop_front() else { return };
        println!("{question} => {}", event.message().and_then(|message| message.text()).unwrap_or_default());
        match event.connection().filter(|_| self.questions.is_empty()) {
            Some(connection) => connection.close(),
            None => self.ask(),
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "amqp://127.0.0.1:5673/service".to_owned());
    let mut questions: Vec<_> = args.collect();
    if questions.is_empty() {
        questions = ["Twas brillig,", "and the slithy toves"].map(str::to_owned).into();
    }
    Container::new(Client::new(url, questions)).run().await
}
