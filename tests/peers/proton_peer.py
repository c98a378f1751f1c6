#!/usr/bin/env python3
"""A peer on Proton Python for the interop suites: JSON lines on stdout, one event each.

    proton_peer.py listen [options]               a listening peer, no broker, on a free port of 127.0.0.1
    proton_peer.py send URL ADDRESS [options]     sends the messages of stdin, prints the outcomes
    proton_peer.py receive URL ADDRESS -c N       prints what comes, and answers
    proton_peer.py request URL ADDRESS            asks what the messages of stdin say, one after the other, and prints the answers,
                                                  which come to a dynamic node

Values and messages have the form of typed_json.py. Every line has "event"; the first of `listen` is {"event": "ready", "port": P}.
A line for `send` is a message with, if wanted, "settled" (boolean), "tag" (hex) and "via" (data or message); or {"raw": hex}, the
bytes of a message as they are. Outcomes may come in another order than the messages: each has its "index".
Exit: 0 done, 1 an error (its event was printed), 2 fewer messages than asked, 3 the time limit.

What a message may ask of the one that receives it (listen and receive), as application properties: `outcome` is accept, reject,
release, modify, received or none; `condition`, `description` and `info` go with reject; `failed`, `undeliverable` (booleans)
and `annotations` with modify; `info` and `annotations` are the JSON text of a typed map. `--outcome` (repeatable, used in turn) takes a word or a JSON object
with the same names, and goes before the message's own wish.

Addresses of `listen`, for links in either direction: `refuse/CONDITION` is attached and detached at once; `detach/N/CONDITION`,
`end/N/CONDITION` and `close/N/CONDITION` end the link, the session or the connection after N messages, `drop/N` closes the socket.
Sources of `listen`: `echo` gives every message that came, byte for byte; `echo/data` put anew through Proton's encoder;
`echo/message` through proton.Message; `generate/N/SIZE` gives N messages of one data section of SIZE bytes. A source that ends
after N messages gives N of one byte first, and ends with the first outcome after them. Any other gives none.
What comes to the target `serve` is text, and answered in capital letters to its reply-to, which is a dynamic source of `listen`.
"""

import argparse
import json
import os
import sys
import threading
import time

from cproton_ffi import ffi, lib
from proton import Condition, Delivery, Endpoint, Handler, Link, Message, SSLDomain, symbol
from proton.reactor import Container, Copy, Selector

import typed_json

STATES = {Delivery.ACCEPTED: "accepted", Delivery.REJECTED: "rejected", Delivery.RELEASED: "released",
          Delivery.MODIFIED: "modified", Delivery.RECEIVED: "received"}
SND = {Link.SND_UNSETTLED: "unsettled", Link.SND_SETTLED: "settled", Link.SND_MIXED: "mixed"}
FATES = ("detach", "end", "close", "drop")
RCV = {Link.RCV_FIRST: "first", Link.RCV_SECOND: "second"}


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}, separators=(",", ":")), flush=True)


def leave(code):
    """Ends the process now: the reactor's own shutdown waits for peers that never answer."""
    sys.stdout.flush()
    os._exit(code)


def tag_of(delivery):
    """The delivery tag in hex; Delivery.tag insists on UTF-8."""
    tag = lib.pn_delivery_tag(delivery._impl)
    return bytes(ffi.buffer(tag.start, tag.size)).hex() if tag.size else ""


def terminus(end):
    return {
        "address": end.address, "dynamic": end.dynamic, "durability": end.durability, "expiry_policy": end.expiry_policy,
        "timeout": end.timeout, "distribution_mode": end.distribution_mode, "type": end.type,
        "properties": typed_json.read_data(lib.pn_terminus_properties(end._impl)),
        "capabilities": typed_json.read_data(lib.pn_terminus_capabilities(end._impl)),
        "outcomes": typed_json.read_data(lib.pn_terminus_outcomes(end._impl)),
        "filter": typed_json.read_data(lib.pn_terminus_filter(end._impl)),
    }


def condition_of(impl):
    """A pn_condition_t as {"condition", "description", "info"}, or None."""
    if not lib.pn_condition_is_set(impl):
        return None
    # Not all brokers send UTF-8 here.
    text = lambda c: None if c == ffi.NULL else ffi.string(c).decode(errors="replace")
    return {"condition": text(lib.pn_condition_get_name(impl)), "description": text(lib.pn_condition_get_description(impl)),
            "info": typed_json.read_data(lib.pn_condition_info(impl))}


def remote_state(delivery):
    """The state that the other side gave to a delivery."""
    impl = lib.pn_delivery_remote(delivery._impl)
    code = delivery.remote_state
    out = {"state": STATES.get(code, code or None), "settled": delivery.settled}
    if code == Delivery.REJECTED:
        out["error"] = condition_of(lib.pn_disposition_condition(impl))
    elif code == Delivery.MODIFIED:
        out["failed"] = bool(lib.pn_disposition_is_failed(impl))
        out["undeliverable"] = bool(lib.pn_disposition_is_undeliverable(impl))
        out["annotations"] = typed_json.read_data(lib.pn_disposition_annotations(impl))
    elif code == Delivery.RECEIVED:
        out["section_number"] = lib.pn_disposition_get_section_number(impl)
        out["section_offset"] = lib.pn_disposition_get_section_offset(impl)
    return out


class Peer(Handler):
    """What the three roles share: opening, closing, telling."""

    def __init__(self, args):
        self.args = args
        self.outcomes = [json.loads(o) if o.startswith("{") else {"outcome": o} for o in args.outcome or []]
        self.answered = 0
        self.partial = {}

    # -- the connection and its endpoints

    def on_connection_bound(self, event):
        transport = event.transport
        if self.args.max_frame_size:
            transport.max_frame_size = self.args.max_frame_size
        if self.args.idle_timeout:
            transport.idle_timeout = self.args.idle_timeout
        if self.args.channel_max is not None:
            transport.channel_max = self.args.channel_max

    def on_connection_remote_open(self, event):
        connection, transport = event.connection, event.transport
        if not connection.state & Endpoint.LOCAL_ACTIVE:
            connection.container = "proton-listen"
            connection.open()
        impl = connection._impl
        emit("open", container=connection.remote_container, hostname=connection.remote_hostname,
             max_frame_size=transport.remote_max_frame_size, channel_max=transport.remote_channel_max,
             idle_timeout=transport.remote_idle_timeout, user=transport.user, mechanism=transport.sasl().mech,
             encrypted=transport.encrypted,
             offered=typed_json.read_data(lib.pn_connection_remote_offered_capabilities(impl)),
             desired=typed_json.read_data(lib.pn_connection_remote_desired_capabilities(impl)),
             properties=typed_json.read_data(lib.pn_connection_remote_properties(impl)))

    def on_session_remote_open(self, event):
        if event.session.state & Endpoint.LOCAL_UNINIT:
            if self.args.incoming_window:
                event.session.incoming_capacity = self.args.incoming_window
            event.session.open()

    def on_link_remote_close(self, event):
        self.link_gone("detach", event.link, True)

    def on_link_remote_detach(self, event):
        self.link_gone("detach", event.link, False)

    def link_gone(self, kind, link, closed):
        emit(kind, name=link.name, closed=closed, error=condition_of(lib.pn_link_remote_condition(link._impl)))
        if not link.state & Endpoint.LOCAL_CLOSED:
            link.close() if closed else link.detach()

    def on_session_remote_close(self, event):
        emit("end", error=condition_of(lib.pn_session_remote_condition(event.session._impl)))
        event.session.close()

    def on_connection_remote_close(self, event):
        emit("close", error=condition_of(lib.pn_connection_remote_condition(event.connection._impl)))
        event.connection.close()

    def on_transport_error(self, event):
        error = event.transport.condition
        emit("transport-error", condition=error.name, description=error.description)

    # -- deliveries

    def on_delivery(self, event):
        delivery = event.delivery
        if delivery.link.is_receiver:
            self.incoming(event, delivery)
        elif delivery.updated:
            self.outgoing(event, delivery)

    def incoming(self, event, delivery):
        link = delivery.link
        if delivery.aborted:
            emit("aborted", name=link.name, tag=tag_of(delivery), got=len(self.partial.pop(tag_of(delivery), b"")))
            delivery.settle()
            self.credit(link)
            return
        if delivery.settled and not delivery.readable:
            if link.rcv_settle_mode == Link.RCV_SECOND:
                emit("settled", name=link.name, tag=tag_of(delivery))
            delivery.settle()
            return
        if not delivery.readable:
            return
        tag = tag_of(delivery)
        raw = self.partial.pop(tag, b"") + bytes(link.recv(delivery.pending) or b"")
        if delivery.partial:
            self.partial[tag] = raw
            return
        link.advance()
        fields = {"name": link.name, "address": self.address(link), "tag": tag, "settled": delivery.settled}
        try:
            message = typed_json.decode_message(raw)
            fields.update(message)
            wish = typed_json.application_properties(message)
        except Exception as error:
            fields["error"], wish = "%s: %s" % (type(error).__name__, error), {}
        if self.args.raw:
            fields["raw"] = raw.hex()
        if self.args.message_view:
            fields["message"] = typed_json.message_view(raw)
        if self.outcomes:
            wish = self.outcomes[self.answered % len(self.outcomes)]
        self.answered += 1
        fields["outcome"] = wish.get("outcome", "accept")
        emit("message", **fields)
        self.answer(delivery, wish)
        self.credit(link)
        self.received(event, link, raw)

    def answer(self, delivery, wish):
        if delivery.settled:
            delivery.settle()
            return
        outcome, local = wish.get("outcome", "accept"), delivery.local
        if outcome == "none":
            return
        if outcome == "received":
            local.section_number, local.section_offset = 0, 0
            delivery.update(Delivery.RECEIVED)
            return
        if outcome == "reject":
            if "condition" in wish:
                info = wish.get("info")
                local.condition = Condition(wish["condition"], wish.get("description"),
                                            typed_json.to_python(json.loads(info)) if info else None)
            delivery.update(Delivery.REJECTED)
        elif outcome == "release":
            delivery.update(Delivery.RELEASED)
        elif outcome == "modify":
            local.failed, local.undeliverable = wish.get("failed", False), wish.get("undeliverable", False)
            annotations = wish.get("annotations")
            if annotations:
                if isinstance(annotations, str):
                    annotations = json.loads(annotations)
                local.annotations = typed_json.to_python(annotations)
            delivery.update(Delivery.MODIFIED)
        else:
            delivery.update(Delivery.ACCEPTED)
        if delivery.link.rcv_settle_mode != Link.RCV_SECOND:
            delivery.settle()

    def transfer(self, link, raw, tag=None, settled=False):
        """Sends the bytes of one message."""
        delivery = link.delivery(bytes.fromhex(tag) if tag is not None else os.urandom(4))
        link.stream(raw)
        link.advance()
        if settled or link.snd_settle_mode == Link.SND_SETTLED:
            delivery.settle()
            return None
        return delivery

    def address(self, link):
        return link.target.address if link.is_receiver else link.source.address

    def credit(self, link):
        pass

    def received(self, event, link, raw):
        pass

    def outgoing(self, event, delivery):
        pass


class Listener(Peer):
    """A listening peer that takes any link."""

    def __init__(self, args):
        super().__init__(args)
        self.kept = []
        self.replies = {}
        self.counts = {}
        self.sent = {}

    def on_reactor_init(self, event):
        domain = None
        if self.args.tls_cert:
            domain = SSLDomain(SSLDomain.MODE_SERVER)
            domain.set_credentials(self.args.tls_cert, self.args.tls_key, None)
            if self.args.tls_client_ca:
                domain.set_trusted_ca_db(self.args.tls_client_ca)
                domain.set_peer_authentication(SSLDomain.VERIFY_PEER, self.args.tls_client_ca)
        acceptor = event.container.acceptor("127.0.0.1", self.args.port)
        if domain:
            acceptor.set_ssl_domain(domain)
        emit("ready", port=acceptor._selectable._delegate.getsockname()[1])

    def on_connection_bound(self, event):
        super().on_connection_bound(event)
        if self.args.mechs:
            event.transport.sasl().allowed_mechs(self.args.mechs)
        if self.args.require_auth:
            event.transport.require_auth(True)

    def on_link_remote_open(self, event):
        link = event.link
        if not link.state & Endpoint.LOCAL_UNINIT:
            return
        emit("attach", role="sender" if link.is_receiver else "receiver", name=link.name, source=terminus(link.remote_source),
             target=terminus(link.remote_target), snd_settle_mode=SND.get(link.remote_snd_settle_mode),
             rcv_settle_mode=RCV.get(link.remote_rcv_settle_mode), max_message_size=link.remote_max_message_size,
             properties=typed_json.read_data(lib.pn_link_remote_properties(link._impl)))
        end = link.remote_target if link.is_receiver else link.remote_source
        verb = (end.address or "").split("/")
        if verb[0] == "refuse":
            link.open()
            link.condition = Condition("/".join(verb[1:]) or "amqp:not-found", "refused as the address asks")
            link.close()
            return
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        if end.dynamic:
            (link.target if link.is_receiver else link.source).address = "dynamic-%s" % link.name
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        if self.args.max_message_size:
            link.max_message_size = self.args.max_message_size
        link.open()
        if link.is_receiver and self.args.credit:
            link.flow(self.args.credit)
        self.fate(event, link)

    def fate(self, event, link):
        """Does what the address of the link asks for, when its count is reached."""
        verb = (self.address(link) or "").split("/")
        if verb[0] not in FATES or self.counts.get(link.name, 0) < int(verb[1]):
            return
        error = Condition("/".join(verb[2:]) or "amqp:internal-error", "as the address asks")
        if verb[0] == "drop":
            event.transport.close_head()
            event.transport.close_tail()
            return
        what = {"detach": link, "end": link.session, "close": link.connection}[verb[0]]
        what.condition = error
        what.close()

    def credit(self, link):
        if not self.args.credit_once:
            link.flow(1)

    def received(self, event, link, raw):
        self.kept.append(raw)
        if self.address(link) == "serve":
            question = Message()
            question.decode(raw)
            reply = Message(body=question.body.upper(), correlation_id=question.id)
            self.replies.setdefault(question.reply_to, []).append(bytes(reply.encode()))
        count = self.counts[link.name] = self.counts.get(link.name, 0) + 1
        if self.args.drain_after and count == self.args.drain_after:
            link.drain_mode = True
            link.flow(0)
        self.fate(event, link)
        sender = link.connection.link_head(Endpoint.LOCAL_ACTIVE | Endpoint.REMOTE_ACTIVE)
        while sender:
            if sender.is_sender:
                self.pump(sender)
            sender = sender.next(Endpoint.LOCAL_ACTIVE | Endpoint.REMOTE_ACTIVE)

    def on_link_flow(self, event):
        link = event.link
        if link.is_sender:
            self.pump(link)
            if link.drain_mode and not self.args.ignore_drain:
                emit("draining", name=link.name, dropped=link.drained())
        elif link.drain_mode and not link.draining():
            emit("drained", name=link.name, dropped=link.drained())
            link.drain_mode = False
            if self.args.credit and not self.args.credit_once:
                link.flow(self.args.credit)

    def pump(self, link):
        """Sends what the source has while there is credit."""
        if not link.state & Endpoint.LOCAL_ACTIVE:
            return
        verb = (link.source.address or "").split("/")
        replies = self.replies.get(link.source.address, [])
        while link.credit > 0 and replies:
            self.transfer(link, replies.pop(0))
        while link.credit > 0:
            done = self.sent.get(link.name, 0)
            if verb[0] == "echo" and done < len(self.kept):
                raw = self.kept[done]
                try:
                    if verb[1:] == ["data"]:
                        raw = typed_json.encode_message(typed_json.decode_message(raw))
                    elif verb[1:] == ["message"]:
                        raw = bytes(typed_json.to_message(typed_json.decode_message(raw)).encode())
                except Exception as error:
                    emit("send-error", index=done, error="%s: %s" % (type(error).__name__, error))
                    self.sent[link.name] = done + 1
                    continue
            elif verb[0] == "generate" and done < int(verb[1]):
                body = {"t": "binary", "v": bytes(i & 255 for i in range(int(verb[2]))).hex()}
                raw = typed_json.encode_message({"sections": [{"s": "data", "v": body}]})
            elif verb[0] in FATES and done < int(verb[1]):
                raw = typed_json.encode_message({"sections": [{"s": "data", "v": {"t": "binary", "v": "%02x" % (done & 255)}}]})
            else:
                return
            self.sent[link.name] = self.counts[link.name] = done + 1
            self.transfer(link, raw)

    def outgoing(self, event, delivery):
        emit("outcome", name=delivery.link.name, tag=tag_of(delivery), **remote_state(delivery))
        if delivery.settled or delivery.link.rcv_settle_mode == Link.RCV_SECOND:
            delivery.settle()
        self.fate(event, delivery.link)

    def on_transport_closed(self, event):
        emit("disconnected")
        self.counts.clear()
        self.sent.clear()
        if self.args.once:
            leave(0)


class Client(Peer):
    """What send and receive share."""

    def __init__(self, args):
        super().__init__(args)
        self.connection = None
        self.failed = False
        self.finished = False

    def on_reactor_init(self, event):
        args = self.args
        domain = None
        if args.url.startswith("amqps"):
            domain = SSLDomain(SSLDomain.MODE_CLIENT)
            if args.tls_ca:
                domain.set_trusted_ca_db(args.tls_ca)
                domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME, args.tls_ca)
            if args.tls_cert:
                domain.set_credentials(args.tls_cert, args.tls_key, None)
        self.connection = event.container.connect(
            args.url, reconnect=False, user=args.user, password=os.environ.get("POSTROAD_PEER_PASSWORD"),
            allowed_mechs=args.mechs, sasl_enabled=not args.no_sasl, heartbeat=args.idle_timeout,
            max_frame_size=args.max_frame_size, virtual_host=args.virtual_host, ssl_domain=domain,
            desired_capabilities=args.desired or None)
        self.attach(event.container)

    def on_link_remote_open(self, event):
        link = event.link
        emit("attached", name=link.name, source=terminus(link.remote_source), target=terminus(link.remote_target),
             snd_settle_mode=SND.get(link.remote_snd_settle_mode), rcv_settle_mode=RCV.get(link.remote_rcv_settle_mode),
             max_message_size=link.remote_max_message_size)

    def finish(self):
        self.finished = True
        self.connection.close()

    def link_gone(self, kind, link, closed):
        super().link_gone(kind, link, closed)
        if not self.finished:
            self.failed = True
            self.finish()

    def on_session_remote_close(self, event):
        super().on_session_remote_close(event)
        if not self.finished:
            self.failed = True
            self.finish()

    def on_connection_remote_close(self, event):
        if not self.finished:
            self.failed = True
        super().on_connection_remote_close(event)

    def on_transport_error(self, event):
        super().on_transport_error(event)
        self.failed = True

    def on_transport_closed(self, event):
        emit("disconnected")
        leave(1 if self.failed or not self.finished else 0)


class Sending(Client):
    """Sends the messages of stdin, over its links in turn, and tells each outcome."""

    def __init__(self, args):
        super().__init__(args)
        self.messages = [json.loads(line) for line in sys.stdin if line.strip()]
        self.queues = {}
        self.unsent = len(self.messages)
        self.open_deliveries = {}

    def attach(self, container):
        for number in range(self.args.links):
            name = self.args.link_name or ("link-%d" % number if self.args.links > 1 else None)
            link = container.create_sender(self.connection, self.args.address, name=name)
            self.queues[link.name] = list(range(number, len(self.messages), self.args.links))
            link.snd_settle_mode = {"unsettled": Link.SND_UNSETTLED, "settled": Link.SND_SETTLED,
                                    "mixed": Link.SND_MIXED}[self.args.settle_mode]
            if self.args.second:
                link.rcv_settle_mode = Link.RCV_SECOND
            for capability in self.args.capability:
                link.target.capabilities.put_object(symbol(capability))

    def on_link_flow(self, event):
        link = event.link
        queue = self.queues[link.name]
        while link.credit > 0 and queue:
            index = queue.pop(0)
            message = self.messages[index]
            self.unsent -= 1
            try:
                if "raw" in message:
                    raw = bytes.fromhex(message["raw"])
                elif message.get("via", self.args.via) == "message":
                    raw = bytes(typed_json.to_message(message).encode())
                else:
                    raw = typed_json.encode_message(message)
            except Exception as error:
                emit("send-error", index=index, error="%s: %s" % (type(error).__name__, error))
                continue
            delivery = self.transfer(link, raw, message.get("tag", "%08x" % index), message.get("settled", False))
            if delivery:
                self.open_deliveries[tag_of(delivery)] = index
            else:
                emit("outcome", index=index, state=None, settled=True, presettled=True)
        if link.drain_mode:
            link.drained()
        self.done()

    def outgoing(self, event, delivery):
        tag = tag_of(delivery)
        emit("outcome", index=self.open_deliveries[tag], **remote_state(delivery))
        if delivery.settled or (delivery.remote_state in STATES and delivery.remote_state != Delivery.RECEIVED):
            delivery.settle()
            del self.open_deliveries[tag]
        self.done()

    def done(self):
        if not self.unsent and not self.open_deliveries and not self.finished:
            self.finish()


class Receiving(Client):
    """Takes messages, tells them and answers."""

    def __init__(self, args):
        super().__init__(args)
        self.got = 0

    def attach(self, container):
        options = []
        if self.args.browse:
            options.append(Copy())
        if self.args.selector:
            options.append(Selector(self.args.selector))
        link = container.create_receiver(self.connection, self.args.address, name=self.args.link_name,
                                         dynamic=self.args.dynamic, options=options)
        if self.args.second:
            link.rcv_settle_mode = Link.RCV_SECOND
        for capability in self.args.capability:
            link.source.capabilities.put_object(symbol(capability))
        credit = min(self.args.credit, self.args.count)
        link.drain(credit) if self.args.drain else link.flow(credit)

    def on_timer_task(self, event):
        emit("timeout", got=self.got)
        leave(2)

    def on_link_remote_open(self, event):
        super().on_link_remote_open(event)
        if self.args.wait:
            event.container.schedule(self.args.wait, self)

    def on_link_flow(self, event):
        link = event.link
        if self.args.drain and not self.finished and not link.draining():
            emit("drained", name=link.name, dropped=link.drained())
            self.finish()

    def address(self, link):
        return link.remote_source.address

    def credit(self, link):
        if not self.args.drain and self.got + 1 + link.credit < self.args.count:
            link.flow(1)

    def received(self, event, link, raw):
        self.got += 1
        if self.got >= self.args.count:
            if self.args.second:  # the sender settles first, so that its outcome is not lost
                event.container.schedule(0.2, Closing(self))
            else:
                self.finish()


class Asking(Client):
    """Asks, and tells what is answered."""

    def __init__(self, args):
        super().__init__(args)
        self.messages = [json.loads(line) for line in sys.stdin if line.strip()]
        self.asked = 0
        self.sender = self.receiver = None

    def attach(self, container):
        self.receiver = container.create_receiver(self.connection, None, dynamic=True, name="answers")
        self.receiver.flow(1)
        self.sender = container.create_sender(self.connection, self.args.address, name="questions")

    def on_link_remote_open(self, event):
        super().on_link_remote_open(event)
        self.ask()

    def on_link_flow(self, event):
        self.ask()

    def ask(self):
        address = self.receiver.remote_source.address
        if self.asked > self.answered or not address or not self.sender.credit:
            return
        if self.asked == len(self.messages):
            self.finish()
            return
        properties = {"message-id": {"t": "ulong", "v": self.asked}, "reply-to": {"t": "string", "v": address}}
        sections = [{"s": "properties", "v": properties}] + self.messages[self.asked]["sections"]
        self.asked += 1
        self.transfer(self.sender, typed_json.encode_message({"sections": sections}), "%08x" % self.asked)

    def received(self, event, link, raw):
        link.flow(1)
        self.ask()

    def outgoing(self, event, delivery):
        emit("outcome", **remote_state(delivery))
        delivery.settle()

    def address(self, link):
        return link.remote_source.address


class Closing(Handler):
    def __init__(self, client):
        self.client = client

    def on_timer_task(self, event):
        self.client.finish()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    for role in ("listen", "send", "receive", "request"):
        one = roles.add_parser(role)
        add = one.add_argument
        add("--limit", type=float, default=120, help="seconds after which the process ends with 3")
        add("--watch-stdin", action="store_true", help="end when stdin ends (listen, receive): a parent that died takes its peer along")
        add("--max-frame-size", type=int)
        add("--idle-timeout", type=float, help="seconds")
        add("--channel-max", type=int)
        add("--incoming-window", type=int, help="bytes that a session of the other side may have in flight")
        add("--mechs", help="SASL mechanisms that are allowed, separated by blanks")
        add("--outcome", action="append")
        add("--raw", action="store_true", help="print the bytes of each message as well")
        add("--message-view", action="store_true", help="print what proton.Message shows as well")
        add("--tls-cert")
        add("--tls-key")
        if role == "listen":
            add("--port", type=int, default=0)
            add("--credit", type=int, default=100)
            add("--credit-once", action="store_true", help="give no credit after the first")
            add("--drain-after", type=int, help="drain a receiving link after so many messages, then give credit again")
            add("--ignore-drain", action="store_true", help="as sender, never answer a drain")
            add("--max-message-size", type=int)
            add("--require-auth", action="store_true")
            add("--once", action="store_true", help="end when the first connection has ended")
            add("--tls-client-ca")
            continue
        add("url")
        add("address", nargs="?")
        add("--user", help="its password is in POSTROAD_PEER_PASSWORD")
        add("--no-sasl", action="store_true")
        add("--virtual-host")
        add("--desired", action="append", default=[])
        add("--capability", action="append", default=[])
        add("--link-name")
        add("--second", action="store_true", help="ask for receiver settle mode second")
        add("--tls-ca")
        if role == "send":
            add("--via", choices=("data", "message"), default="data")
            add("--links", type=int, default=1, help="how many links share the messages")
            add("--settle-mode", choices=("unsettled", "settled", "mixed"), default="unsettled")
        elif role == "receive":
            add("-c", "--count", type=int, default=1)
            add("--credit", type=int, default=100)
            add("--wait", type=float, help="seconds to wait for the messages")
            add("--browse", action="store_true")
            add("--drain", action="store_true", help="ask for what is there, and that the credit be given up")
            add("--selector")
            add("--dynamic", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()

    def limit():
        time.sleep(args.limit)
        emit("limit", seconds=args.limit)
        leave(3)

    def parent():
        while sys.stdin.buffer.read(4096):
            pass
        leave(0)

    threading.Thread(target=limit, daemon=True).start()
    role = {"listen": Listener, "send": Sending, "receive": Receiving, "request": Asking}[args.role](args)
    if args.watch_stdin and args.role in ("listen", "receive"):
        threading.Thread(target=parent, daemon=True).start()
    Container(role).run()


if __name__ == "__main__":
    main()
