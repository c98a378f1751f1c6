/* The codec of Proton C as a bench: CPU nanoseconds an operation, by the process clock.
 *
 *     proton_c_codec COUNT
 *
 * The message is the one of `src/codec.rs`: header, properties, five application properties, 100 bytes of data. "lazy" is a decode;
 * "full" reads every value behind it as well. Transfers go through pn_data, which is what the library offers a program.
 * At the end one line on stdout: {"impl":"proton-c","build":1.0,"encode":1.0,"lazy":1.0,"full":1.0,"transfer_out":1.0,"transfer_in":1.0}
 */
#include <proton/codec.h>
#include <proton/message.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static pn_bytes_t text(const char *value) { return pn_bytes(strlen(value), value); }

static void build(pn_message_t *message) {
    static char content[100];
    memset(content, 'x', sizeof content);
    pn_message_clear(message);
    pn_message_set_inferred(message, true);
    pn_message_set_durable(message, true);
    pn_message_set_priority(message, 4);
    pn_message_set_ttl(message, 60000);
    pn_atom_t id = {.type = PN_STRING, .u.as_bytes = text("message-0001")};
    pn_message_set_id(message, id);
    pn_message_set_address(message, "queue/orders");
    pn_message_set_subject(message, "order.created");
    pn_message_set_reply_to(message, "queue/replies");
    pn_atom_t correlation = {.type = PN_ULONG, .u.as_ulong = 123456789};
    pn_message_set_correlation_id(message, correlation);
    pn_message_set_content_type(message, "application/octet-stream");
    pn_data_t *properties = pn_message_properties(message);
    pn_data_clear(properties);
    pn_data_put_map(properties);
    pn_data_enter(properties);
    pn_data_put_string(properties, text("tenant"));
    pn_data_put_string(properties, text("acme-corp"));
    pn_data_put_string(properties, text("count"));
    pn_data_put_int(properties, 42);
    pn_data_put_string(properties, text("big1"));
    pn_data_put_long(properties, 1234567890123LL);
    pn_data_put_string(properties, text("flag"));
    pn_data_put_bool(properties, true);
    pn_data_put_string(properties, text("ratio"));
    pn_data_put_double(properties, 0.25);
    pn_data_exit(properties);
    pn_data_t *body = pn_message_body(message);
    pn_data_clear(body);
    pn_data_put_binary(body, pn_bytes(sizeof content, content));
}

static long read_all(pn_message_t *message) {
    long sum = pn_message_is_durable(message) + pn_message_get_priority(message) + pn_message_get_ttl(message);
    sum += pn_message_get_id(message).u.as_bytes.size + pn_message_get_correlation_id(message).u.as_ulong;
    sum += pn_message_get_address(message)[0] + pn_message_get_subject(message)[0] + pn_message_get_reply_to(message)[0];
    sum += pn_message_get_content_type(message)[0];
    pn_data_t *properties = pn_message_properties(message);
    pn_data_rewind(properties);
    pn_data_next(properties);
    size_t count = pn_data_get_map(properties);
    pn_data_enter(properties);
    while (count--) {
        pn_data_next(properties);
        sum += pn_data_get_atom(properties).type;
    }
    pn_data_t *body = pn_message_body(message);
    pn_data_rewind(body);
    pn_data_next(body);
    return sum + pn_data_get_binary(body).size;
}

int main(int argc, char **argv) {
    long count = argc > 1 ? atol(argv[1]) : 1000000;
    volatile long sum = 0;
    char bytes[4096];
    size_t size = sizeof bytes;
    pn_message_t *message = pn_message();
    double start = now();
    for (long i = 0; i < count; i++) {
        build(message);
        size = sizeof bytes;
        if (pn_message_encode(message, bytes, &size)) abort();
    }
    double built = (now() - start) / count;
    start = now();
    for (long i = 0; i < count; i++) {
        size = sizeof bytes;
        if (pn_message_encode(message, bytes, &size)) abort();
    }
    double encode = (now() - start) / count;
    pn_message_t *read = pn_message();
    start = now();
    for (long i = 0; i < count; i++) {
        pn_message_clear(read);
        if (pn_message_decode(read, bytes, size)) abort();
    }
    double lazy = (now() - start) / count;
    start = now();
    for (long i = 0; i < count; i++) {
        pn_message_clear(read);
        if (pn_message_decode(read, bytes, size)) abort();
        sum += read_all(read);
    }
    double full = (now() - start) / count;
    char frame[256];
    ssize_t length = 0;
    pn_data_t *data = pn_data(16);
    start = now();
    for (long i = 0; i < count; i++) {
        uint64_t tag = (uint64_t)i;
        pn_data_clear(data);
        pn_data_put_described(data);
        pn_data_enter(data);
        pn_data_put_ulong(data, 0x14);
        pn_data_put_list(data);
        pn_data_enter(data);
        pn_data_put_uint(data, 0);
        pn_data_put_uint(data, (uint32_t)i);
        pn_data_put_binary(data, pn_bytes(sizeof tag, (char *)&tag));
        pn_data_put_uint(data, 0);
        pn_data_put_bool(data, false);
        pn_data_put_bool(data, false);
        pn_data_exit(data);
        pn_data_exit(data);
        length = pn_data_encode(data, frame, sizeof frame);
        if (length < 0) abort();
    }
    double out = (now() - start) / count;
    start = now();
    for (long i = 0; i < count; i++) {
        pn_data_clear(data);
        if (pn_data_decode(data, frame, length) < 0) abort();
    }
    double in = (now() - start) / count;
    printf("{\"impl\":\"proton-c\",\"build\":%.1f,\"encode\":%.1f,\"lazy\":%.1f,\"full\":%.1f,\"transfer_out\":%.1f,\"transfer_in\":%.1f}\n",
           built, encode, lazy, full, out, in);
    pn_data_free(data);
    pn_message_free(read);
    pn_message_free(message);
    return sum == 0;
}
