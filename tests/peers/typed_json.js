// AMQP 1.0 values and messages as JSON that tells every type apart, by way of rhea's codec. The form is described at the head of
// typed_json.py. What goes through here are rhea's typed values (`rhea.types`), not the plain JavaScript values of its messages.
'use strict';

const TYPES = {
    Null: 'null', Boolean: 'boolean', True: 'boolean', False: 'boolean', Ubyte: 'ubyte', Ushort: 'ushort', Uint: 'uint',
    SmallUint: 'uint', Uint0: 'uint', Ulong: 'ulong', SmallUlong: 'ulong', Ulong0: 'ulong', Byte: 'byte', Short: 'short',
    Int: 'int', SmallInt: 'int', Long: 'long', SmallLong: 'long', Float: 'float', Double: 'double', Decimal32: 'decimal32',
    Decimal64: 'decimal64', Decimal128: 'decimal128', CharUTF32: 'char', Timestamp: 'timestamp', Uuid: 'uuid', Vbin8: 'binary',
    Vbin32: 'binary', Str8: 'string', Str32: 'string', Sym8: 'symbol', Sym32: 'symbol', List0: 'list', List8: 'list',
    List32: 'list', Map8: 'map', Map32: 'map', Array8: 'array', Array32: 'array',
};
// The constructor that an array of each type is written with.
const CODES = {
    null: 0x40, boolean: 0x56, ubyte: 0x50, ushort: 0x60, uint: 0x70, ulong: 0x80, byte: 0x51, short: 0x61, int: 0x71, long: 0x81,
    float: 0x72, double: 0x82, decimal32: 0x74, decimal64: 0x84, decimal128: 0x94, char: 0x73, timestamp: 0x83, uuid: 0x98,
    binary: 0xb0, string: 0xb1, symbol: 0xb3, list: 0xd0, map: 0xd1, array: 0xf0,
};
const SECTIONS = {
    0x70: 'header', 0x71: 'delivery-annotations', 0x72: 'message-annotations', 0x73: 'properties', 0x74: 'application-properties',
    0x75: 'data', 0x76: 'amqp-sequence', 0x77: 'amqp-value', 0x78: 'footer',
};
const FIELDS = {
    'header': ['durable', 'priority', 'ttl', 'first-acquirer', 'delivery-count'],
    'properties': ['message-id', 'user-id', 'to', 'subject', 'reply-to', 'correlation-id', 'content-type', 'content-encoding',
        'absolute-expiry-time', 'creation-time', 'group-id', 'group-sequence', 'reply-to-group-id'],
};

module.exports = function (types) {
    /// A number of 64 bits, which rhea gives as a number or, beyond 53 bits, as the octets.
    function wide(value, signed) {
        if (Buffer.isBuffer(value)) return signed ? value.readBigInt64BE() : value.readBigUInt64BE();
        return BigInt(value);
    }

    function unsafe(value) {
        if (value === null) throw Error('not a date');
        const number = Number(value);
        if (Number.isSafeInteger(number)) return number;
        const octets = Buffer.alloc(8);
        if (BigInt(value) < 0n) octets.writeBigInt64BE(BigInt(value)); else octets.writeBigUInt64BE(BigInt(value));
        return octets;
    }

    function bits(write, value, size) {
        const octets = Buffer.alloc(size);
        octets[write](value);
        return octets.toString('hex');
    }

    function toJson(typed) {
        const json = bare(typed);
        return typed.descriptor ? {t: 'described', d: toJson(typed.descriptor), v: json} : json;
    }

    function bare(typed) {
        const t = TYPES[typed.type.name], value = typed.value;
        switch (t) {
        case 'null': return {t};
        case 'boolean': return {t, v: Boolean(value)};
        case 'ulong': return {t, v: wide(value, false)};
        case 'long': return {t, v: wide(value, true)};
        case 'timestamp': return {t, v: Number.isNaN(value.getTime()) ? null : value.getTime()};
        case 'float': return {t, v: bits('writeFloatBE', value, 4)};
        case 'double': return {t, v: bits('writeDoubleBE', value, 8)};
        case 'decimal32': case 'decimal64': case 'decimal128': case 'binary': return {t, v: value.toString('hex')};
        case 'uuid': return {t, v: value.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')};
        case 'list': return {t, v: value.map(toJson)};
        case 'map': return {t, v: pairs(value.map(toJson))};
        case 'array': {
            const of = TYPES[types.by_code[typed.array_constructor.typecode].name], descriptor = typed.array_constructor.descriptor;
            return {t, of, ...(descriptor && {d: toJson(descriptor)}), v: value.map(toJson)};
        }
        default: return {t, v: value};
        }
    }

    function pairs(flat) {
        const out = [];
        for (let i = 0; i < flat.length; i += 2) out.push([flat[i], flat[i + 1]]);
        return out;
    }

    /// What rhea's writers take as the value of a type: all but the wrapping.
    function plain(json) {
        const {t, v} = json;
        switch (t) {
        case 'null': return null;
        case 'boolean': case 'string': case 'symbol': return v;
        case 'ulong': case 'long': case 'timestamp': return unsafe(v);
        case 'float': return Buffer.from(v, 'hex').readFloatBE();
        case 'double': return Buffer.from(v, 'hex').readDoubleBE();
        case 'decimal32': case 'decimal64': case 'decimal128': case 'binary': return Buffer.from(v, 'hex');
        case 'uuid': return Buffer.from(v.replace(/-/g, ''), 'hex');
        case 'list': return v.map(fromJson);
        case 'map': return v.flat().map(fromJson);
        case 'array': return v.map(plain);
        default: return Number(v);
        }
    }

    function fromJson(json) {
        const value = plain(json);
        switch (json.t) {
        case 'null': return types.Null();
        case 'decimal32': return types.Decimal32(value);
        case 'decimal64': return types.Decimal64(value);
        case 'decimal128': return types.Decimal128(value);
        case 'map': return types.Map32(value);
        case 'array': return types.wrap_array(value, CODES[json.of], json.d && fromJson(json.d));
        case 'described': {
            const inner = fromJson(json.v);
            // rhea keeps one descriptor with a value.
            if (inner.descriptor) throw Error('a described value cannot be described again');
            return types.described(fromJson(json.d), inner);
        }
        default: return types['wrap_' + json.t](value);
        }
    }

    function encodeMessage(message) {
        const writer = new types.Writer();
        for (const {s, v} of message.sections) {
            const code = Number(Object.keys(SECTIONS).find(code => SECTIONS[code] === s));
            let content;
            if (FIELDS[s]) {
                const fields = FIELDS[s].map(field => v[field] ? fromJson(v[field]) : types.Null());
                while (fields.length && fields[fields.length - 1].type.name === 'Null') fields.pop();
                content = types.wrap_list(fields);
            } else {
                content = fromJson(v);
            }
            if (content.descriptor) throw Error('a described value cannot be described again');
            writer.write(types.described(types.wrap_ulong(code), content));
        }
        return writer.toBuffer();
    }

    function decodeMessage(raw) {
        const reader = new types.Reader(raw), sections = [];
        while (reader.remaining()) {
            const section = reader.read(), s = SECTIONS[section.descriptor.value];
            let v = bare(section);
            if (FIELDS[s]) v = Object.fromEntries(v.v.map((field, i) => [FIELDS[s][i], field]).filter(([, field]) => field.t !== 'null'));
            sections.push({s, v});
        }
        return {sections};
    }

    /// The application properties as plain values, by name.
    function applicationProperties(message) {
        const section = message.sections.find(section => section.s === 'application-properties');
        return Object.fromEntries((section ? section.v.v : []).map(([key, value]) => [key.v, value.v]));
    }

    /// A line of JSON, with integers of any size.
    function stringify(value) {
        return JSON.stringify(value, (_, item) => typeof item === 'bigint' ? '#int:' + item : item).replace(/"#int:(-?\d+)"/g, '$1');
    }

    /// A value of a line of JSON; integers past 53 bits become their digits.
    function parse(line) {
        return JSON.parse(line.replace(/"v":(-?\d{16,})/g, '"v":"$1"'));
    }

    return {toJson, fromJson, encodeMessage, decodeMessage, applicationProperties, stringify, parse};
};
