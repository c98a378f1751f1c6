// A peer on Proton C++ for the interop suites, with the commands, options and events of proton_peer.py, as far as it has them:
//
//     proton_cpp_peer listen [options]
//     proton_cpp_peer send URL ADDRESS [options]
//     proton_cpp_peer receive URL ADDRESS -c N
//     proton_cpp_peer request URL ADDRESS
//
// Messages go through proton::message: what comes is told as it would be sent on, and nothing is sent as raw bytes. Of an outcome,
// Proton C++ gives and tells the state alone.

#include "typed_json.hpp"

#include <proton/annotation_key.hpp>
#include <proton/connection.hpp>
#include <proton/connection_options.hpp>
#include <proton/container.hpp>
#include <proton/delivery.hpp>
#include <proton/error_condition.hpp>
#include <proton/listen_handler.hpp>
#include <proton/listener.hpp>
#include <proton/message.hpp>
#include <proton/message_id.hpp>
#include <proton/messaging_handler.hpp>
#include <proton/receiver_options.hpp>
#include <proton/reconnect_options.hpp>
#include <proton/sasl.hpp>
#include <proton/sender_options.hpp>
#include <proton/session.hpp>
#include <proton/source.hpp>
#include <proton/source_options.hpp>
#include <proton/ssl.hpp>
#include <proton/target.hpp>
#include <proton/target_options.hpp>
#include <proton/tracker.hpp>
#include <proton/transport.hpp>
#include <proton/value.hpp>
#include <proton/version.h>
#include <proton/work_queue.hpp>

#include <cctype>
#include <chrono>
#include <deque>
#include <iostream>
#include <thread>
#include <unistd.h>

using namespace proton;
using typed::Json;
using typed::quote;

static std::multimap<std::string, std::string> arguments;
static bool has(const std::string& name) { return arguments.count(name) > 0; }
static std::string argument(const std::string& name, const std::string& otherwise = "") {
    auto found = arguments.find(name);
    return found == arguments.end() ? otherwise : found->second;
}
static long number(const std::string& name, long otherwise) { return has(name) ? std::stol(argument(name)) : otherwise; }

[[noreturn]] static void leave(int code) {
    std::cout.flush();
    _exit(code);
}

static void emit(const std::string& event, const std::string& fields = "") {
    std::cout << "{\"event\":" << quote(event) << (fields.empty() ? "" : ",") << fields << "}" << std::endl;
}

static std::string error_of(const error_condition& error) {
    if (error.empty()) return "\"error\":null";
    return "\"error\":{\"condition\":" + quote(error.name()) + ",\"description\":" + quote(error.description()) + "}";
}

static std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts(1);
    for (char c : text) {
        if (c == '/') parts.emplace_back(); else parts.back() += c;
    }
    return parts;
}

// --- messages

static const std::map<int, std::string> SECTIONS = {
    {0x70, "header"}, {0x71, "delivery-annotations"}, {0x72, "message-annotations"}, {0x73, "properties"},
    {0x74, "application-properties"}, {0x75, "data"}, {0x76, "amqp-sequence"}, {0x77, "amqp-value"}, {0x78, "footer"},
};
static const std::map<std::string, std::vector<std::string>> FIELDS = {
    {"header", {"durable", "priority", "ttl", "first-acquirer", "delivery-count"}},
    {"properties", {"message-id", "user-id", "to", "subject", "reply-to", "correlation-id", "content-type", "content-encoding",
                    "absolute-expiry-time", "creation-time", "group-id", "group-sequence", "reply-to-group-id"}},
};

// The sections of a message as Proton writes it.
static std::string sections(const message& m) {
    std::vector<char> raw = m.encode();
    value all;
    codec::decoder from(all);
    from.decode(raw.data(), raw.size());
    std::string out;
    while (from.more()) {
        codec::start section;
        from >> section;
        uint64_t code;
        from >> code;
        const std::string& name = SECTIONS.at(int(code));
        out += (out.empty() ? "" : ",") + ("{\"s\":" + quote(name)) + ",\"v\":";
        auto fields = FIELDS.find(name);
        if (fields == FIELDS.end()) {
            out += typed::read(from);
        } else {
            codec::start list;
            from >> list;
            std::string content;
            for (size_t i = 0; i < list.size; ++i) {
                std::string field = typed::read(from);
                if (field != "{\"t\":\"null\"}") content += (content.empty() ? "" : ",") + quote(fields->second.at(i)) + ":" + field;
            }
            from >> codec::finish();
            out += "{" + content + "}";
        }
        out += "}";
        from >> codec::finish();
    }
    return "\"sections\":[" + out + "]";
}

static value to_value(const Json& json) {
    value out;
    codec::encoder to(out);
    typed::write(json, to);
    return out;
}

static message to_message(const Json& json) {
    message m;
    for (auto& section : json["sections"].items) {
        const std::string& name = section["s"].text;
        const Json& v = section["v"];
        auto text = [&](const char* field) { return v[field]["v"].text; };
        auto set = [&](const char* field) { return v.find(field) != nullptr; };
        if (name == "header") {
            if (set("durable")) m.durable(v["durable"]["v"].truth());
            if (set("priority")) m.priority(uint8_t(std::stoul(text("priority"))));
            if (set("ttl")) m.ttl(duration(std::stoull(text("ttl"))));
            if (set("first-acquirer")) m.first_acquirer(v["first-acquirer"]["v"].truth());
            if (set("delivery-count")) m.delivery_count(uint32_t(std::stoul(text("delivery-count"))));
        } else if (name == "properties") {
            if (set("message-id")) m.id(proton::get<message_id>(to_value(v["message-id"])));
            if (set("user-id")) { auto user = typed::unhex(text("user-id")); m.user(std::string(user.begin(), user.end())); }
            if (set("to")) m.to(text("to"));
            if (set("subject")) m.subject(text("subject"));
            if (set("reply-to")) m.reply_to(text("reply-to"));
            if (set("correlation-id")) m.correlation_id(proton::get<message_id>(to_value(v["correlation-id"])));
            if (set("content-type")) m.content_type(text("content-type"));
            if (set("content-encoding")) m.content_encoding(text("content-encoding"));
            if (set("absolute-expiry-time")) m.expiry_time(timestamp(std::stoll(text("absolute-expiry-time"))));
            if (set("creation-time")) m.creation_time(timestamp(std::stoll(text("creation-time"))));
            if (set("group-id")) m.group_id(text("group-id"));
            if (set("group-sequence")) m.group_sequence(int32_t(std::stoul(text("group-sequence"))));
            if (set("reply-to-group-id")) m.reply_to_group_id(text("reply-to-group-id"));
        } else if (name == "application-properties") {
            for (auto& pair : v["v"].items) m.properties().put(pair.items[0]["v"].text, proton::get<scalar>(to_value(pair.items[1])));
        } else if (name == "message-annotations" || name == "delivery-annotations") {
            auto& map = name[0] == 'm' ? m.message_annotations() : m.delivery_annotations();
            for (auto& pair : v["v"].items) map.put(symbol(pair.items[0]["v"].text), to_value(pair.items[1]));
        } else if (name == "data" || name == "amqp-sequence") {
            m.inferred(true);
            m.body(to_value(v));
        } else if (name == "amqp-value") {
            m.body(to_value(v));
        } else {
            throw std::runtime_error("no section " + name + " in a proton::message");
        }
    }
    return m;
}

// The wish of a message for an outcome, from the options or its application properties.
static std::string wish_of(const message& m, size_t answered) {
    auto range = arguments.equal_range("outcome");
    std::vector<std::string> options;
    for (auto i = range.first; i != range.second; ++i) options.push_back(i->second);
    if (!options.empty()) {
        const std::string& option = options[answered % options.size()];
        return option[0] == '{' ? typed::parse(option)["outcome"].text : option;
    }
    if (m.properties().exists("outcome")) return proton::get<std::string>(m.properties().get("outcome"));
    return "accept";
}

static void answer(delivery& d, const std::string& wish) {
    if (wish == "none") return;
    if (wish == "reject") d.reject();
    else if (wish == "release") d.release();
    else if (wish == "modify") d.modify();
    else d.accept();
}

static std::string state_of(tracker& t) {
    switch (t.state()) {
    case transfer::ACCEPTED: return "\"accepted\"";
    case transfer::REJECTED: return "\"rejected\"";
    case transfer::RELEASED: return "\"released\"";
    case transfer::MODIFIED: return "\"modified\"";
    default: return "null";
    }
}

static std::string hex(const binary& tag) { return quote(typed::hex(tag.data(), tag.size())); }

static connection_options common() {
    connection_options options;
    if (has("max-frame-size")) options.max_frame_size(uint32_t(number("max-frame-size", 0)));
    if (has("idle-timeout")) options.idle_timeout(duration(uint64_t(1000 * std::stod(argument("idle-timeout")))));
    if (has("mechs")) options.sasl_allowed_mechs(argument("mechs"));
    return options;
}

// --- what all roles share

struct Peer : messaging_handler {
    bool encrypted = false;
    size_t answered = 0;

    void on_connection_open(connection& c) override {
        if (c.uninitialized()) c.open();
        sasl s = c.transport().sasl();
        emit("open", "\"container\":" + quote(c.container_id()) + ",\"hostname\":" + quote(c.virtual_host())
            + ",\"max_frame_size\":" + std::to_string(c.max_frame_size()) + ",\"idle_timeout\":" + std::to_string(c.idle_timeout() / 1000.0)
            + ",\"user\":" + quote(c.user()) + ",\"mechanism\":" + quote(s.mech()) + ",\"encrypted\":" + (encrypted ? "true" : "false"));
    }
    void on_message(delivery& d, message& m) override {
        std::string wish = wish_of(m, answered++);
        std::string told;
        try {
            told = sections(m);
        } catch (const std::exception& error) {
            told = "\"error\":" + quote(error.what());
        }
        emit("message", "\"name\":" + quote(d.receiver().name()) + ",\"tag\":" + hex(d.tag()) + ",\"settled\":"
            + (d.settled() ? "true" : "false") + ",\"outcome\":" + quote(wish) + "," + told);
        if (d.settled()) d.settle(); else answer(d, wish);
        receiver r = d.receiver();
        received(r, m);
    }
    virtual void received(receiver&, message&) {}
    virtual void gone(const std::string&) {}

    void detached(proton::link& l, bool closed) {
        emit("detach", "\"name\":" + quote(l.name()) + ",\"closed\":" + (closed ? "true," : "false,") + error_of(l.error()));
        gone("detach");
    }
    void on_sender_close(sender& s) override { detached(s, true); }
    void on_receiver_close(receiver& r) override { detached(r, true); }
    void on_sender_detach(sender& s) override { detached(s, false); }
    void on_receiver_detach(receiver& r) override { detached(r, false); }
    void on_sender_error(sender&) override {}
    void on_receiver_error(receiver&) override {}
    void on_session_error(session&) override {}
    void on_connection_error(connection&) override {}
    void on_session_close(session& s) override {
        emit("end", error_of(s.error()));
        gone("end");
    }
    void on_connection_close(connection& c) override {
        emit("close", error_of(c.error()));
        gone("close");
    }
    void on_transport_error(transport& t) override {
        emit("transport-error", "\"condition\":" + quote(t.error().name()) + ",\"description\":" + quote(t.error().description()));
        gone("transport-error");
    }
};

// --- listen

struct Listening : Peer {
    struct Opened : listen_handler {
        connection_options options;
        connection_options on_accept(listener&) override { return options; }
        void on_open(listener& l) override { emit("ready", "\"port\":" + std::to_string(l.port())); }
        void on_error(listener&, const std::string& what) override { std::cerr << what << std::endl; leave(1); }
    } opened;
    std::deque<message> kept;
    std::map<std::string, std::deque<message>> replies;
    std::map<std::string, long> counts, sent;
    std::map<std::string, std::string> addresses;
    std::map<std::string, bool> draining;

    void on_container_start(container& c) override {
        opened.options = common();
        opened.options.handler(*this);
        std::string url = "amqp://127.0.0.1:0";
        if (has("tls-cert")) {
            encrypted = true;
            opened.options.ssl_server_options(ssl_server_options(ssl_certificate(argument("tls-cert"), argument("tls-key"))));
            url = "amqps://127.0.0.1:0";
        }
        c.listen(url, opened);
    }
    bool refused(proton::link& l, const std::string& address) {
        if (split(address)[0] != "refuse") return false;
        l.close(error_condition(address.substr(7), "refused as the address asks"));
        return true;
    }
    void told(proton::link& l, const char* role, const std::string& source, const std::string& target) {
        emit("attach", "\"role\":" + quote(role) + ",\"name\":" + quote(l.name()) + ",\"source\":{\"address\":" + quote(source)
            + "},\"target\":{\"address\":" + quote(target) + "}");
    }
    void on_receiver_open(receiver& r) override {
        if (!r.uninitialized()) return;
        std::string address = r.target().dynamic() ? "dynamic-" + r.name() : r.target().address();
        told(r, "sender", r.source().address(), address);
        target_options target;
        target.address(address);
        r.open(receiver_options().credit_window(0).auto_accept(false).target(target));
        if (refused(r, address)) return;
        r.add_credit(uint32_t(number("credit", 100)));
        fate(r, address, 0);
    }
    // Ends a link, its session or its connection when the address asks for it.
    void fate(receiver& r, const std::string& address, long count) {
        auto verb = split(address);
        if (verb.size() < 3 || (verb[0] != "detach" && verb[0] != "end" && verb[0] != "close") || std::stol(verb[1]) != count) return;
        error_condition error(verb[2], "as the address asks");
        if (verb[0] == "detach") r.close(error);
        else if (verb[0] == "end") r.session().close(error);
        else r.connection().close(error);
    }
    void on_sender_open(sender& s) override {
        if (!s.uninitialized()) return;
        std::string address = s.source().dynamic() ? "dynamic-" + s.name() : s.source().address();
        told(s, "receiver", address, s.target().address());
        source_options source;
        source.address(address);
        s.open(sender_options().source(source));
        addresses[s.name()] = address;
        refused(s, address);
    }
    void pump(sender& s) {
        if (!s.active()) return;
        auto verb = split(addresses[s.name()]);
        long& done = sent[s.name()];
        auto& answers = replies[addresses[s.name()]];
        for (; s.credit() > 0 && !answers.empty(); answers.pop_front()) s.send(answers.front());
        while (s.credit() > 0) {
            message made;
            message* m = &made;
            if (verb[0] == "echo" && done < long(kept.size())) {
                m = &kept[size_t(done)];
            } else if (verb[0] == "generate" && done < std::stol(verb[1])) {
                m->inferred(true);
                m->body(binary(size_t(std::stol(verb[2])), uint8_t('g')));
            } else {
                return;
            }
            std::string tag = "t" + std::to_string(done++);
            s.send(*m, binary(tag.begin(), tag.end()));
        }
    }
    void on_sendable(sender& s) override { pump(s); }
    void on_sender_drain_start(sender& s) override {
        pump(s);
        emit("draining", "\"name\":" + quote(s.name()) + ",\"dropped\":" + std::to_string(s.credit()));
        s.return_credit();
    }
    void received(receiver& r, message& m) override {
        if (r.target().address() == "serve") {
            std::string text = proton::get<std::string>(m.body());
            for (char& c : text) c = char(std::toupper(static_cast<unsigned char>(c)));
            message reply(text);
            reply.correlation_id(m.id());
            replies[m.reply_to()].push_back(std::move(reply));
        }
        // Moved: a copy of a proton::message is made by encoding it.
        kept.push_back(std::move(m));
        long count = ++counts[r.name()];
        if (count == number("drain-after", 0)) {
            draining[r.name()] = true;
            r.drain();
        } else if (!draining[r.name()] && !has("credit-once")) {
            r.add_credit(1);
        }
        fate(r, r.target().address(), count);
        for (sender s : r.connection().senders()) pump(s);
    }
    void on_receiver_drain_finish(receiver& r) override {
        emit("drained", "\"name\":" + quote(r.name()));
        draining[r.name()] = false;
        r.add_credit(uint32_t(number("credit", 100)));
    }
    void on_tracker_settle(tracker& t) override {
        emit("outcome", "\"name\":" + quote(t.sender().name()) + ",\"tag\":" + hex(t.tag()) + ",\"state\":" + state_of(t) + ",\"settled\":true");
    }
    void on_transport_close(transport&) override {
        emit("disconnected");
        counts.clear();
        sent.clear();
    }
};

// --- send and receive

struct Client : Peer {
    std::string address, where;
    connection c;
    bool finished = false, failed = false;

    explicit Client(const std::string& u, const std::string& a) : address(a), where(u) {}

    void on_container_start(container& all) override {
        connection_options options = common();
        options.sasl_allow_insecure_mechs(true);
        if (has("no-sasl")) options.sasl_enabled(false);
        if (has("tls-ca")) {
            encrypted = true;
            options.ssl_client_options(ssl_client_options(argument("tls-ca"), ssl::VERIFY_PEER_NAME));
        }
        c = all.connect(where, options);
        attach();
    }
    virtual void attach() = 0;
    void finish() {
        finished = true;
        c.close();
    }
    void gone(const std::string& what) override {
        if (finished) return;
        failed = true;
        if (what == "detach" || what == "end") finish();
    }
    void on_transport_close(transport&) override {
        emit("disconnected");
        leave(failed || !finished ? 1 : 0);
    }
    void attached(proton::link& l, const std::string& source, const std::string& target) {
        emit("attached", "\"name\":" + quote(l.name()) + ",\"source\":{\"address\":" + quote(source) + "},\"target\":{\"address\":" + quote(target) + "}");
    }
};

struct Sending : Client {
    std::map<std::string, std::deque<size_t>> queues;
    std::map<std::string, size_t> indices;
    std::vector<Json> messages;
    size_t left = 0;

    using Client::Client;

    void attach() override {
        for (std::string line; std::getline(std::cin, line);)
            if (!line.empty()) messages.push_back(typed::parse(line));
        left = messages.size();
        long links = number("links", 1);
        for (long n = 0; n < links; ++n) {
            std::string name = "link-" + std::to_string(n);
            for (size_t i = size_t(n); i < messages.size(); i += size_t(links)) queues[name].push_back(i);
            sender_options options;
            options.name(name);
            options.delivery_mode(argument("settle-mode", "unsettled") == "settled" ? delivery_mode::AT_MOST_ONCE : delivery_mode::AT_LEAST_ONCE);
            c.open_sender(address, options);
        }
    }
    void on_sender_open(sender& s) override { attached(s, s.source().address(), s.target().address()); }
    void on_sendable(sender& s) override {
        auto& queue = queues[s.name()];
        while (s.credit() > 0 && !queue.empty()) {
            size_t index = queue.front();
            queue.pop_front();
            message m;
            try {
                m = to_message(messages[index]);
            } catch (const std::exception& error) {
                emit("send-error", "\"index\":" + std::to_string(index) + ",\"error\":" + quote(error.what()));
                --left;
                continue;
            }
            std::string tag = "t" + std::to_string(index);
            indices[tag] = index;
            s.send(m, binary(tag.begin(), tag.end()));
            if (argument("settle-mode") == "settled") {
                emit("outcome", "\"index\":" + std::to_string(index) + ",\"state\":null,\"settled\":true,\"presettled\":true");
                --left;
            }
        }
        done();
    }
    void on_sender_drain_start(sender& s) override {
        on_sendable(s);
        s.return_credit();
    }
    void on_tracker_settle(tracker& t) override {
        if (argument("settle-mode") == "settled") return;
        binary tag = t.tag();
        emit("outcome", "\"index\":" + std::to_string(indices.at(std::string(tag.begin(), tag.end()))) + ",\"state\":" + state_of(t) + ",\"settled\":true");
        --left;
        done();
    }
    void done() {
        if (left == 0 && !finished) finish();
    }
};

struct Receiving : Client {
    long got = 0;

    using Client::Client;

    void attach() override {
        source_options source;
        if (has("dynamic")) source.dynamic(true);
        receiver_options options;
        options.credit_window(0).auto_accept(false);
        if (has("dynamic")) options.source(source);
        receiver r = c.open_receiver(has("dynamic") ? "" : address, options);
        r.add_credit(uint32_t(std::min(number("credit", 100), number("count", 1))));
    }
    void on_receiver_open(receiver& r) override {
        attached(r, r.source().address(), r.target().address());
        if (has("drain")) r.drain();
        if (has("wait")) {
            std::thread([this] {
                std::this_thread::sleep_for(std::chrono::milliseconds(long(1000 * std::stod(argument("wait")))));
                emit("timeout");
                leave(2);
            }).detach();
        }
    }
    void received(receiver& r, message&) override {
        ++got;
        if (got >= number("count", 1)) finish();
        else if (!has("drain") && got + r.credit() < number("count", 1)) r.add_credit(1);
    }
    void on_receiver_drain_finish(receiver& r) override {
        emit("drained", "\"name\":" + quote(r.name()));
        if (!finished) finish();
    }
};

struct Asking : Client {
    std::vector<Json> messages;
    receiver answers;
    sender questions;
    size_t asked = 0, got = 0;

    using Client::Client;

    void attach() override {
        for (std::string line; std::getline(std::cin, line);)
            if (!line.empty()) messages.push_back(typed::parse(line));
        source_options source;
        source.dynamic(true);
        answers = c.open_receiver("", receiver_options().credit_window(0).auto_accept(false).source(source));
        answers.add_credit(1);
        questions = c.open_sender(address);
    }
    void on_receiver_open(receiver& r) override {
        attached(r, r.source().address(), r.target().address());
        ask();
    }
    void on_sendable(sender&) override { ask(); }
    void ask() {
        std::string place = answers.source().address();
        if (asked > got || place.empty() || questions.credit() == 0) return;
        if (asked == messages.size()) return finish();
        message m = to_message(messages[asked]);
        m.id(uint64_t(asked++));
        m.reply_to(place);
        questions.send(m);
    }
    void received(receiver& r, message&) override {
        ++got;
        r.add_credit(1);
        ask();
    }
};

int main(int count, char** words) {
    static const char* flags[] = {"watch-stdin", "raw", "credit-once", "drain", "dynamic", "no-sasl"};
    std::vector<std::string> plain;
    for (int i = 1; i < count; ++i) {
        std::string word = words[i];
        if (word == "-c") word = "--count";
        if (word.compare(0, 2, "--")) { plain.push_back(word); continue; }
        word = word.substr(2);
        bool flag = false;
        for (auto known : flags) flag |= word == known;
        arguments.emplace(word, flag || i + 1 >= count ? "" : words[++i]);
    }
    if (plain.empty() || plain[0] == "version") {
        std::cout << PN_VERSION_MAJOR << "." << PN_VERSION_MINOR << "." << PN_VERSION_POINT << std::endl;
        return 0;
    }
    std::thread([] {
        std::this_thread::sleep_for(std::chrono::seconds(number("limit", 120)));
        emit("limit");
        leave(3);
    }).detach();
    if (has("watch-stdin") && (plain[0] == "listen" || plain[0] == "receive")) {
        std::thread([] {
            char buffer[4096];
            while (read(0, buffer, sizeof buffer) > 0) {}
            leave(0);
        }).detach();
    }
    plain.resize(3);
    try {
        if (plain[0] == "listen") { Listening role; container(role).run(); }
        else if (plain[0] == "send") { Sending role(plain[1], plain[2]); container(role).run(); }
        else if (plain[0] == "request") { Asking role(plain[1], plain[2]); container(role).run(); }
        else { Receiving role(plain[1], plain[2]); container(role).run(); }
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        leave(1);
    }
    leave(1);
}
