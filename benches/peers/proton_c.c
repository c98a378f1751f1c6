/* Proton C as a bench peer, on its proactor: one connection, one link, at-least-once, on 127.0.0.1.
 *
 *     proton_c recv PORT COUNT CREDIT                    listens, takes COUNT messages
 *     proton_c send PORT COUNT SIZE [CREDIT [ADDRESS]]   connects, sends COUNT messages of one data section of SIZE bytes
 *     proton_c consume PORT COUNT CREDIT ADDRESS         connects to a broker, takes COUNT messages from ADDRESS
 *
 * A receiver keeps between CREDIT / 2 and CREDIT of credit; a sender uses what credit it has.
 *
 * Every message has a ulong message-id and is accepted and settled by itself; the receiver decodes it whole. "ready" goes to
 * stderr when the receiver listens, or its link is attached. At the end one line on stdout:
 *     {"impl":"proton-c","role":"send","n":1000,"secs":0.01,"cpu":0.01}
 * where secs and cpu (of this process, user and system) run from the first message to the last settlement.
 */
#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/listener.h>
#include <proton/message.h>
#include <proton/netaddr.h>
#include <proton/proactor.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/transport.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_FRAME = 32768 };

struct peer {
  bool sends;
  bool connects;   /* and so speaks first */
  const char *address;
  long count;      /* messages in all */
  long credit;     /* recv: the most to have out */
  size_t size;     /* send: bytes of body */
  long started;    /* messages handed to the link */
  long finished;   /* messages settled */
  double wall, cpu;
  pn_message_t *message;
  pn_rwbytes_t buffer;
  char *body;
  pn_listener_t *listener;
};

static double wall_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double cpu_now(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

static void start_clocks(struct peer *peer) {
  peer->wall = wall_now();
  peer->cpu = cpu_now();
}

static void report(const struct peer *peer) {
  printf("{\"impl\":\"proton-c\",\"role\":\"%s\",\"n\":%ld,\"secs\":%.6f,\"cpu\":%.6f}\n", peer->sends ? "send" : "recv",
         peer->finished, wall_now() - peer->wall, cpu_now() - peer->cpu);
  fflush(stdout);
}

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "%s: %s\n", what, detail ? detail : "");
  exit(1);
}

static void send_while_credit(struct peer *peer, pn_link_t *link) {
  while (pn_link_credit(link) > 0 && peer->started < peer->count) {
    if (peer->started == 0) start_clocks(peer);
    uint64_t number = (uint64_t)peer->started++;
    pn_delivery(link, pn_dtag((const char *)&number, sizeof number));
    pn_message_clear(peer->message);
    pn_message_set_id(peer->message, (pn_atom_t){.type = PN_ULONG, .u.as_ulong = number});
    pn_message_set_inferred(peer->message, true);
    pn_data_put_binary(pn_message_body(peer->message), pn_bytes(peer->size, peer->body));
    if (pn_message_send(peer->message, link, &peer->buffer) < 0)
      fail("send", pn_error_text(pn_message_error(peer->message)));
  }
}

static void sent(struct peer *peer, pn_delivery_t *delivery, pn_event_t *event) {
  if (pn_delivery_remote_state(delivery) == PN_ACCEPTED) {
    pn_delivery_settle(delivery);
    if (++peer->finished == peer->count) {
      report(peer);
      pn_connection_close(pn_event_connection(event));
      return;
    }
  } else if (pn_delivery_updated(delivery)) {
    fail("a message was not accepted", NULL);
  }
  send_while_credit(peer, pn_event_link(event));
}

static void received(struct peer *peer, pn_delivery_t *delivery, pn_link_t *link) {
  if (!pn_delivery_readable(delivery) || pn_delivery_partial(delivery)) return;
  if (peer->finished == 0) start_clocks(peer);
  size_t size = pn_delivery_pending(delivery);
  if (peer->buffer.size < size) {
    peer->buffer.start = realloc(peer->buffer.start, size);
    peer->buffer.size = size;
  }
  ssize_t got = pn_link_recv(link, peer->buffer.start, size);
  pn_message_clear(peer->message);
  if (got < 0 || pn_message_decode(peer->message, peer->buffer.start, (size_t)got))
    fail("decode", pn_error_text(pn_message_error(peer->message)));
  pn_data_t *body = pn_message_body(peer->message);
  pn_data_rewind(body);
  if (!pn_data_next(body) || pn_data_get_binary(body).size == 0) fail("a message has no body", NULL);
  pn_delivery_update(delivery, PN_ACCEPTED);
  pn_delivery_settle(delivery);
  peer->finished++;
  if (pn_link_credit(link) <= peer->credit / 2) pn_link_flow(link, (int)(peer->credit - pn_link_credit(link)));
  if (peer->finished == peer->count) {
    report(peer);
    if (peer->connects) pn_connection_close(pn_session_connection(pn_link_session(link)));
  }
}

static void attach(struct peer *peer, pn_connection_t *connection) {
  pn_connection_set_container(connection, peer->sends ? "bench-proton-c-send" : "bench-proton-c-recv");
  pn_connection_open(connection);
  pn_session_t *session = pn_session(connection);
  pn_session_open(session);
  pn_link_t *link;
  if (peer->sends) {
    link = pn_sender(session, "bench-send");
    pn_terminus_set_address(pn_link_target(link), peer->address);
    pn_link_set_snd_settle_mode(link, PN_SND_UNSETTLED);
  } else {
    link = pn_receiver(session, "bench-recv");
    pn_terminus_set_address(pn_link_source(link), peer->address);
  }
  pn_link_open(link);
}

static void attached(struct peer *peer, pn_link_t *link) {
  if (!peer->connects) {
    pn_terminus_copy(pn_link_source(link), pn_link_remote_source(link));
    pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
    pn_link_open(link);
  } else if (!peer->sends) {
    fprintf(stderr, "ready\n");
  }
  if (!peer->sends) pn_link_flow(link, (int)peer->credit);
}

/* Answers false when there is nothing more to do. */
static bool handle(struct peer *peer, pn_event_t *event) {
  switch (pn_event_type(event)) {
    case PN_LISTENER_ACCEPT: {
      pn_transport_t *transport = pn_transport();
      pn_transport_set_server(transport);
      pn_transport_require_auth(transport, false);
      pn_sasl_allowed_mechs(pn_sasl(transport), "ANONYMOUS");
      pn_transport_set_max_frame(transport, MAX_FRAME);
      pn_listener_accept2(pn_event_listener(event), NULL, transport);
      break;
    }
    case PN_LISTENER_OPEN:
      fprintf(stderr, "ready\n");
      break;
    case PN_LISTENER_CLOSE: {
      pn_condition_t *condition = pn_listener_condition(pn_event_listener(event));
      if (pn_condition_is_set(condition)) fail("listen", pn_condition_get_description(condition));
      break;
    }
    case PN_CONNECTION_INIT:
      if (peer->connects) attach(peer, pn_event_connection(event));
      break;
    case PN_CONNECTION_REMOTE_OPEN:
      if (!peer->connects) pn_connection_open(pn_event_connection(event));
      break;
    case PN_SESSION_REMOTE_OPEN:
      if (!peer->connects) pn_session_open(pn_event_session(event));
      break;
    case PN_LINK_REMOTE_OPEN:
      attached(peer, pn_event_link(event));
      break;
    case PN_LINK_FLOW:
      if (peer->sends) send_while_credit(peer, pn_event_link(event));
      break;
    case PN_DELIVERY:
      if (peer->sends)
        sent(peer, pn_event_delivery(event), event);
      else
        received(peer, pn_event_delivery(event), pn_event_link(event));
      break;
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH: {
      pn_condition_t *condition = pn_link_remote_condition(pn_event_link(event));
      if (pn_condition_is_set(condition)) fail("the link was closed", pn_condition_get_description(condition));
      pn_link_close(pn_event_link(event));
      break;
    }
    case PN_SESSION_REMOTE_CLOSE:
      pn_session_close(pn_event_session(event));
      break;
    case PN_CONNECTION_REMOTE_CLOSE:
      pn_connection_close(pn_event_connection(event));
      break;
    case PN_TRANSPORT_CLOSED: {
      pn_condition_t *condition = pn_transport_condition(pn_event_transport(event));
      if (peer->finished < peer->count)
        fail("the connection ended early", pn_condition_is_set(condition) ? pn_condition_get_description(condition) : NULL);
      if (peer->listener) pn_listener_close(peer->listener);
      break;
    }
    case PN_PROACTOR_INACTIVE:
      return false;
    default:
      break;
  }
  return true;
}

int main(int argc, char **argv) {
  const char *role = argc > 1 ? argv[1] : "";
  bool sends = !strcmp(role, "send"), consumes = !strcmp(role, "consume");
  if (argc < 5 || (consumes ? argc != 6 : !sends && strcmp(role, "recv"))) {
    fprintf(stderr, "usage: %s recv PORT COUNT CREDIT | send PORT COUNT SIZE [CREDIT [ADDRESS]] | consume PORT COUNT CREDIT ADDRESS\n",
            argv[0]);
    return 64;
  }
  struct peer peer = {.sends = sends, .connects = sends || consumes, .count = atol(argv[3]), .message = pn_message()};
  peer.address = consumes ? argv[5] : sends && argc > 6 ? argv[6] : "bench";
  char address[PN_MAX_ADDR];
  pn_proactor_t *proactor = pn_proactor();
  pn_proactor_addr(address, sizeof address, "127.0.0.1", argv[2]);
  if (peer.sends) {
    peer.size = (size_t)atol(argv[4]);
    peer.body = malloc(peer.size + 1);
    memset(peer.body, 'x', peer.size);
  } else {
    peer.credit = atol(argv[4]);
  }
  if (peer.connects) {
    pn_transport_t *transport = pn_transport();
    pn_transport_set_max_frame(transport, MAX_FRAME);
    pn_sasl_allowed_mechs(pn_sasl(transport), "ANONYMOUS");
    pn_proactor_connect2(proactor, NULL, transport, address);
  } else {
    peer.listener = pn_listener();
    pn_proactor_listen(proactor, peer.listener, address, 4);
  }
  for (;;) {
    pn_event_batch_t *batch = pn_proactor_wait(proactor);
    for (pn_event_t *event; (event = pn_event_batch_next(batch));) {
      if (!handle(&peer, event)) return 0;
    }
    pn_proactor_done(proactor, batch);
  }
}
