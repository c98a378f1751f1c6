// AMQP 1.0 values as JSON that tells every type apart, by way of Proton C++'s codec. The form is described at the head of
// typed_json.py. Here too is the little JSON that this needs.

#pragma once

#include <proton/binary.hpp>
#include <proton/codec/decoder.hpp>
#include <proton/codec/encoder.hpp>
#include <proton/decimal.hpp>
#include <proton/null.hpp>
#include <proton/symbol.hpp>
#include <proton/timestamp.hpp>
#include <proton/type_id.hpp>
#include <proton/uuid.hpp>
#include <proton/value.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace typed {

// A value of JSON. A number keeps its digits, so that none is lost.
struct Json {
    enum Kind { NOTHING, BOOLEAN, NUMBER, STRING, LIST, OBJECT } kind = NOTHING;
    std::string text;
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> fields;

    const Json* find(const std::string& name) const {
        for (auto& field : fields)
            if (field.first == name) return &field.second;
        return nullptr;
    }
    const Json& operator[](const std::string& name) const {
        static const Json none;
        const Json* found = find(name);
        return found ? *found : none;
    }
    bool truth() const { return text == "true"; }
};

class Parser {
    const std::string& in;
    size_t at = 0;

    void blank() { while (at < in.size() && strchr(" \t\r\n", in[at])) ++at; }
    char peek() { blank(); return at < in.size() ? in[at] : '\0'; }
    void expect(char c) {
        if (peek() != c) throw std::runtime_error("not JSON at " + std::to_string(at));
        ++at;
    }

    std::string string() {
        expect('"');
        std::string out;
        while (in.at(at) != '"') {
            char c = in.at(at++);
            if (c != '\\') { out += c; continue; }
            c = in.at(at++);
            switch (c) {
            case 'n': out += '\n'; break;
            case 't': out += '\t'; break;
            case 'r': out += '\r'; break;
            case 'b': out += '\b'; break;
            case 'f': out += '\f'; break;
            case 'u': {
                // Only control characters come like this: everything else is UTF-8.
                out += char(std::stoi(in.substr(at, 4), nullptr, 16));
                at += 4;
                break;
            }
            default: out += c;
            }
        }
        ++at;
        return out;
    }

public:
    explicit Parser(const std::string& text) : in(text) {}

    Json value() {
        Json out;
        char c = peek();
        if (c == '{') {
            out.kind = Json::OBJECT;
            ++at;
            while (peek() != '}') {
                if (!out.fields.empty()) expect(',');
                blank();
                std::string name = string();
                expect(':');
                out.fields.emplace_back(std::move(name), value());
            }
            ++at;
        } else if (c == '[') {
            out.kind = Json::LIST;
            ++at;
            while (peek() != ']') {
                if (!out.items.empty()) expect(',');
                out.items.push_back(value());
            }
            ++at;
        } else if (c == '"') {
            out.kind = Json::STRING;
            out.text = string();
        } else {
            size_t start = at;
            while (at < in.size() && !strchr(",]} \t\r\n", in[at])) ++at;
            out.text = in.substr(start, at - start);
            out.kind = out.text == "null" ? Json::NOTHING
                : out.text == "true" || out.text == "false" ? Json::BOOLEAN : Json::NUMBER;
        }
        return out;
    }
};

inline Json parse(const std::string& text) { return Parser(text).value(); }

inline std::string quote(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') { out += '\\'; out += c; }
        else if (static_cast<unsigned char>(c) < 0x20) {
            char escaped[8];
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
            out += escaped;
        } else out += c;
    }
    return out + "\"";
}

inline std::string hex(const void* bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(size * 2);
    const unsigned char* p = static_cast<const unsigned char*>(bytes);
    for (size_t i = 0; i < size; ++i) { out += digits[p[i] >> 4]; out += digits[p[i] & 15]; }
    return out;
}

inline proton::binary unhex(const std::string& digits) {
    auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
    proton::binary out;
    out.reserve(digits.size() / 2);
    for (size_t i = 0; i + 1 < digits.size(); i += 2) out.push_back(uint8_t(digit(digits[i]) << 4 | digit(digits[i + 1])));
    return out;
}

// The octets of a number in the order of the wire.
template <class T> std::string bits(const T& value) {
    unsigned char octets[sizeof(T)];
    memcpy(octets, &value, sizeof(T));
    for (size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(octets[i], octets[sizeof(T) - 1 - i]);
    return hex(octets, sizeof(T));
}

template <class T> T from_bits(const std::string& digits) {
    proton::binary octets = unhex(digits);
    if (octets.size() != sizeof(T)) throw std::runtime_error("bits of another size");
    for (size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(octets[i], octets[sizeof(T) - 1 - i]);
    T value;
    memcpy(static_cast<void*>(&value), octets.data(), sizeof(T));
    return value;
}

inline const std::map<std::string, proton::type_id>& types() {
    using namespace proton;
    static const std::map<std::string, type_id> all = {
        {"null", NULL_TYPE}, {"boolean", BOOLEAN}, {"ubyte", UBYTE}, {"ushort", USHORT}, {"uint", UINT}, {"ulong", ULONG},
        {"byte", BYTE}, {"short", SHORT}, {"int", INT}, {"long", LONG}, {"float", FLOAT}, {"double", DOUBLE},
        {"decimal32", DECIMAL32}, {"decimal64", DECIMAL64}, {"decimal128", DECIMAL128}, {"char", CHAR},
        {"timestamp", TIMESTAMP}, {"uuid", UUID}, {"binary", BINARY}, {"string", STRING}, {"symbol", SYMBOL},
        {"list", LIST}, {"map", MAP}, {"array", ARRAY}, {"described", DESCRIBED},
    };
    return all;
}

inline std::string name_of(proton::type_id id) {
    for (auto& type : types())
        if (type.second == id) return type.first;
    return "unknown";
}

template <class T> T take(proton::codec::decoder& from) { T value; from >> value; return value; }

// The next value as typed JSON.
inline std::string read(proton::codec::decoder& from) {
    using namespace proton;
    const type_id id = from.next_type();
    const std::string name = name_of(id);
    auto with = [&](const std::string& v) { return "{\"t\":\"" + name + "\",\"v\":" + v + "}"; };
    switch (id) {
    case NULL_TYPE:
        // Into a value: `from >> null` of 0.37 does not go on to the next.
        take<value>(from);
        return "{\"t\":\"null\"}";
    case BOOLEAN: return with(take<bool>(from) ? "true" : "false");
    case UBYTE: return with(std::to_string(take<uint8_t>(from)));
    case USHORT: return with(std::to_string(take<uint16_t>(from)));
    case UINT: return with(std::to_string(take<uint32_t>(from)));
    case ULONG: return with(std::to_string(take<uint64_t>(from)));
    case BYTE: return with(std::to_string(take<int8_t>(from)));
    case SHORT: return with(std::to_string(take<int16_t>(from)));
    case INT: return with(std::to_string(take<int32_t>(from)));
    case LONG: return with(std::to_string(take<int64_t>(from)));
    case CHAR: return with(std::to_string(uint32_t(take<wchar_t>(from))));
    case TIMESTAMP: return with(std::to_string(take<timestamp>(from).milliseconds()));
    case FLOAT: return with(quote(bits(take<float>(from))));
    case DOUBLE: return with(quote(bits(take<double>(from))));
    case DECIMAL32: return with(quote(bits(take<decimal32>(from))));
    case DECIMAL64: return with(quote(bits(take<decimal64>(from))));
    case DECIMAL128: { auto v = take<decimal128>(from); return with(quote(hex(&v, sizeof v))); }
    case UUID: return with(quote(take<uuid>(from).str()));
    case BINARY: { auto v = take<binary>(from); return with(quote(hex(v.data(), v.size()))); }
    case STRING: return with(quote(take<std::string>(from)));
    case SYMBOL: return with(quote(take<symbol>(from)));
    default: break;
    }
    codec::start start;
    from >> start;
    std::string out;
    if (id == DESCRIBED) {
        std::string descriptor = read(from);
        out = "{\"t\":\"described\",\"d\":" + descriptor + ",\"v\":" + read(from) + "}";
    } else if (id == MAP) {
        for (size_t i = 0; i < start.size / 2; ++i) {
            std::string key = read(from);
            out += (i ? ",[" : "[") + key + "," + read(from) + "]";
        }
        out = with("[" + out + "]");
    } else {
        std::string head = "{\"t\":\"" + name + "\"";
        if (id == ARRAY) {
            head += ",\"of\":\"" + name_of(start.element) + "\"";
            if (start.is_described) head += ",\"d\":" + read(from);
        }
        for (size_t i = 0; i < start.size; ++i) out += (i ? "," : "") + read(from);
        out = head + ",\"v\":[" + out + "]}";
    }
    from >> codec::finish();
    return out;
}

// Appends a value of typed JSON.
inline void write(const Json& json, proton::codec::encoder& to) {
    using namespace proton;
    const Json& v = json["v"];
    auto found = types().find(json["t"].text);
    if (found == types().end()) throw std::runtime_error("no type " + json["t"].text);
    switch (found->second) {
    case NULL_TYPE: to << null(); break;
    case BOOLEAN: to << v.truth(); break;
    case UBYTE: to << uint8_t(std::stoul(v.text)); break;
    case USHORT: to << uint16_t(std::stoul(v.text)); break;
    case UINT: to << uint32_t(std::stoul(v.text)); break;
    case ULONG: to << uint64_t(std::stoull(v.text)); break;
    case BYTE: to << int8_t(std::stol(v.text)); break;
    case SHORT: to << int16_t(std::stol(v.text)); break;
    case INT: to << int32_t(std::stol(v.text)); break;
    case LONG: to << int64_t(std::stoll(v.text)); break;
    case CHAR: to << wchar_t(std::stoul(v.text)); break;
    case TIMESTAMP: to << timestamp(std::stoll(v.text)); break;
    case FLOAT: to << from_bits<float>(v.text); break;
    case DOUBLE: to << from_bits<double>(v.text); break;
    case DECIMAL32: to << from_bits<decimal32>(v.text); break;
    case DECIMAL64: to << from_bits<decimal64>(v.text); break;
    case DECIMAL128: { decimal128 d; auto octets = unhex(v.text); std::copy(octets.begin(), octets.end(), d.begin()); to << d; break; }
    case UUID: {
        std::string digits;
        for (char c : v.text) if (c != '-') digits += c;
        auto octets = unhex(digits);
        uuid u;
        std::copy(octets.begin(), octets.end(), u.begin());
        to << u;
        break;
    }
    case BINARY: to << unhex(v.text); break;
    case STRING: to << v.text; break;
    case SYMBOL: to << symbol(v.text); break;
    case LIST:
        to << codec::start::list();
        for (auto& item : v.items) write(item, to);
        to << codec::finish();
        break;
    case MAP:
        to << codec::start::map();
        for (auto& pair : v.items) { write(pair.items.at(0), to); write(pair.items.at(1), to); }
        to << codec::finish();
        break;
    case ARRAY: {
        const Json* descriptor = json.find("d");
        to << codec::start::array(types().at(json["of"].text), descriptor);
        if (descriptor) write(*descriptor, to);
        for (auto& item : v.items) write(item, to);
        to << codec::finish();
        break;
    }
    case DESCRIBED:
        to << codec::start::described();
        write(json["d"], to);
        write(v, to);
        to << codec::finish();
        break;
    }
}

} // namespace typed
