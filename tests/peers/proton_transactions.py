#!/usr/bin/env python3
"""A transaction controller on Proton Python for the interop suites: JSON lines on stdout, one event each.

    proton_transactions.py send URL ADDRESS -n N     sends N numbers in transactions
    proton_transactions.py receive URL ADDRESS -n N  accepts N messages in transactions, and tells their bodies

Work goes into transactions of --batch messages. --fates (repeatable, used in turn) says how they end: commit, abort, or leave,
which closes the connection with the transaction open. Events: declared, message, outcome (of a delivery in a transaction),
committed, aborted, declare-failed, commit-failed (with the reason), closed.
Exit: 0 done, 1 an error of the connection or a link, 3 the time limit.
"""

import argparse
import json
import os
import sys
import threading
import time

from proton import Message
from proton.handlers import MessagingHandler, TransactionHandler
from proton.reactor import Container


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}, separators=(",", ":")), flush=True)


def leave(code):
    """Ends the process now: the reactor's own shutdown waits for peers that never answer."""
    sys.stdout.flush()
    os._exit(code)


class Controller(MessagingHandler, TransactionHandler):
    def __init__(self, args):
        super().__init__(prefetch=0, auto_accept=False)
        self.args = args
        self.fates = args.fates or ["commit"]
        self.transaction = None
        self.batch = 0
        self.ended = 0
        self.done = 0
        self.waits = 0
        self.finished = False

    def on_start(self, event):
        self.container = event.container
        self.connection = event.container.connect(self.args.url, reconnect=False)
        self.link = self.attach(event.container)
        self.declare()

    def declare(self):
        self.transaction, self.batch = None, 0
        self.container.declare_transaction(self.connection, handler=self,
                                           settle_before_discharge=self.args.settle_before_discharge)

    def on_transaction_declared(self, event):
        self.transaction = event.transaction
        emit("declared", id=bytes(event.transaction.id).hex())
        self.work()

    def end_batch(self):
        fate = self.fates[self.ended % len(self.fates)]
        transaction, self.transaction = self.transaction, None
        if fate == "leave":
            self.finish()
        elif fate == "abort":
            transaction.abort()
        else:
            transaction.commit()

    def on_transaction_committed(self, event):
        emit("committed")
        self.done += self.batch
        self.next()

    def on_transaction_aborted(self, event):
        emit("aborted")
        self.next()

    def reason(self, event):
        condition = event.delivery.remote.condition
        return {"condition": condition.name, "description": condition.description} if condition else {}

    def on_transaction_declare_failed(self, event):
        emit("declare-failed", **self.reason(event))
        self.finish()

    def on_transaction_commit_failed(self, event):
        emit("commit-failed", **self.reason(event))
        self.finish()

    def next(self):
        self.ended += 1
        if self.done >= self.args.count:
            self.finish()
        else:
            self.declare()

    def finish(self):
        self.finished = True
        self.connection.close()

    def on_connection_closed(self, event):
        emit("closed")
        leave(0 if self.finished else 1)

    def on_connection_error(self, event):
        self.failed("connection", event.connection)

    def on_link_error(self, event):
        self.failed("link", event.link)

    def on_transport_error(self, event):
        emit("error", of="transport", condition=event.transport.condition.name)
        leave(1)

    def failed(self, kind, endpoint):
        condition = endpoint.remote_condition
        emit("error", of=kind, condition=condition.name, description=condition.description)
        leave(1)


class Sending(Controller):
    def attach(self, container):
        return container.create_sender(self.connection, self.args.address)

    def work(self):
        while self.transaction and self.link.credit and self.batch < self.args.batch:
            self.transaction.send(self.link, Message(body=self.done + self.batch))
            self.batch += 1
            self.waits += 1

    def on_sendable(self, event):
        if event.link == self.link:
            self.work()

    def on_delivery(self, event):
        delivery = event.delivery
        if delivery.link == self.link and delivery.updated and delivery.remote_state == 0x34:
            code = delivery.remote.data[1].descriptor if len(delivery.remote.data) > 1 else None
            emit("outcome", code=code, settled=delivery.settled)
            delivery.settle()
            self.waits -= 1
            if not self.waits and self.batch == self.args.batch and self.transaction:
                self.end_batch()


class Receiving(Controller):
    def attach(self, container):
        return container.create_receiver(self.connection, self.args.address)

    def work(self):
        self.link.flow(self.args.batch - self.link.credit)

    def on_message(self, event):
        emit("message", body=event.message.body, count=event.message.delivery_count)
        self.transaction.accept(event.delivery)
        self.batch += 1
        if self.batch == self.args.batch:
            self.end_batch()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    for role in ("send", "receive"):
        add = roles.add_parser(role).add_argument
        add("url")
        add("address")
        add("-n", "--count", type=int, default=1)
        add("--batch", type=int, default=1)
        add("--fates", action="append", choices=("commit", "abort", "leave"))
        add("--settle-before-discharge", action="store_true")
        add("--limit", type=float, default=60, help="seconds after which the process ends with 3")
    args = parser.parse_args()

    def limit():
        time.sleep(args.limit)
        emit("limit", seconds=args.limit)
        leave(3)

    threading.Thread(target=limit, daemon=True).start()
    Container({"send": Sending, "receive": Receiving}[args.role](args)).run()


if __name__ == "__main__":
    main()
