"""AMQP 1.0 values and messages as JSON that tells every type apart, by way of Proton's codec.

The form of a value (one object each, no other keys):

    {"t": "null"}
    {"t": "boolean", "v": true}
    {"t": "ubyte" | "ushort" | "uint" | "ulong" | "byte" | "short" | "int" | "long", "v": 5}
    {"t": "float", "v": "3f800000"}            the bits in hex: 8 digits
    {"t": "double", "v": "3ff0000000000000"}   16 digits
    {"t": "decimal32" | "decimal64" | "decimal128", "v": hex}   8, 16, 32 digits
    {"t": "char", "v": 97}                     the code point
    {"t": "timestamp", "v": -1}                milliseconds since the epoch
    {"t": "uuid", "v": "00000000-0000-0000-0000-000000000000"}
    {"t": "binary", "v": hex}
    {"t": "string" | "symbol", "v": "text"}
    {"t": "list", "v": [value, ..]}
    {"t": "map", "v": [[key, value], ..]}      in the order of the wire, duplicates kept
    {"t": "array", "of": "uint", "v": [value, ..]}
    {"t": "array", "of": "uint", "d": descriptor, "v": [value, ..]}   elements that are described
    {"t": "described", "d": descriptor, "v": value}

Hex is lower case. "of" names the type of the elements (also of none), and each element carries its "t" again.

The form of a message: {"sections": [{"s": NAME, "v": CONTENT}, ..]} in the order of the wire. NAME is the section's name in the
standard. CONTENT is a value, but for header and properties an object of the fields that are present (not null), each a value:

    {"s": "header", "v": {"durable": {"t": "boolean", "v": true}}}
    {"s": "properties", "v": {"message-id": {"t": "ulong", "v": 7}}}
    {"s": "amqp-value", "v": {"t": "string", "v": "hello"}}

There are two ways to the values: the functions of this module walk Proton's data nodes, which know every type; what
`proton.Message` makes of a message is another matter, which `message_view` and `to_message` show.
"""

import struct
import uuid

import proton
from cproton_ffi import ffi, lib
from proton import Array, Data, Described

INTEGERS = ("ubyte", "ushort", "uint", "ulong", "byte", "short", "int", "long")
NAMES = {number: "boolean" if name == "bool" else name for number, name in Data.type_names.items()}
NUMBERS = {name: number for number, name in NAMES.items()}

SECTIONS = {
    0x70: "header",
    0x71: "delivery-annotations",
    0x72: "message-annotations",
    0x73: "properties",
    0x74: "application-properties",
    0x75: "data",
    0x76: "amqp-sequence",
    0x77: "amqp-value",
    0x78: "footer",
}
CODES = {name: code for code, name in SECTIONS.items()}
FIELDS = {
    "header": ("durable", "priority", "ttl", "first-acquirer", "delivery-count"),
    "properties": ("message-id", "user-id", "to", "subject", "reply-to", "correlation-id", "content-type",
                   "content-encoding", "absolute-expiry-time", "creation-time", "group-id", "group-sequence",
                   "reply-to-group-id"),
}


# --- Proton's data nodes <-> typed JSON ---------------------------------------------------------------------------

def _bytes(b):
    return bytes(ffi.buffer(b.start, b.size)) if b.size else b""


def read_node(data):
    """The node under the cursor as typed JSON."""
    impl, number = data._data, data.type()
    name = NAMES[number]
    if name == "null":
        return {"t": "null"}
    if name == "boolean":
        return {"t": name, "v": bool(lib.pn_data_get_bool(impl))}
    if name in INTEGERS or name in ("char", "timestamp"):
        return {"t": name, "v": int(getattr(lib, "pn_data_get_" + name)(impl))}
    if name == "float":
        return {"t": name, "v": struct.pack(">f", lib.pn_data_get_float(impl)).hex()}
    if name == "double":
        return {"t": name, "v": struct.pack(">d", lib.pn_data_get_double(impl)).hex()}
    if name == "decimal32":
        return {"t": name, "v": "%08x" % lib.pn_data_get_decimal32(impl)}
    if name == "decimal64":
        return {"t": name, "v": "%016x" % lib.pn_data_get_decimal64(impl)}
    if name == "decimal128":
        return {"t": name, "v": bytes(ffi.unpack(lib.pn_data_get_decimal128(impl).bytes, 16)).hex()}
    if name == "uuid":
        return {"t": name, "v": str(uuid.UUID(bytes=bytes(ffi.unpack(lib.pn_data_get_uuid(impl).bytes, 16))))}
    if name == "binary":
        return {"t": name, "v": _bytes(lib.pn_data_get_binary(impl)).hex()}
    if name == "string":
        return {"t": name, "v": _bytes(lib.pn_data_get_string(impl)).decode()}
    if name == "symbol":
        return {"t": name, "v": _bytes(lib.pn_data_get_symbol(impl)).decode("ascii")}
    if name == "list":
        return {"t": name, "v": _children(data)}
    if name == "map":
        flat = _children(data)
        return {"t": name, "v": [list(pair) for pair in zip(flat[::2], flat[1::2])]}
    if name == "described":
        descriptor, value = _children(data)
        return {"t": name, "d": descriptor, "v": value}
    if name == "array":
        _, described, element = data.get_array()
        elements = _children(data)
        out = {"t": name, "of": NAMES.get(element, element)}
        if described:
            out["d"] = elements.pop(0)
        out["v"] = elements
        return out
    raise ValueError("a node of type %s" % name)


def _children(data):
    out = []
    data.enter()
    while data.next() is not None:
        out.append(read_node(data))
    data.exit()
    return out


def write_node(data, value):
    """Appends the value to the data nodes."""
    impl, name = data._data, value["t"]
    if name == "null":
        data.put_null()
    elif name == "boolean":
        data.put_bool(value["v"])
    elif name in INTEGERS or name in ("char", "timestamp"):
        data._check(getattr(lib, "pn_data_put_" + name)(impl, value["v"]))
    elif name == "float":
        data.put_float(struct.unpack(">f", bytes.fromhex(value["v"]))[0])
    elif name == "double":
        data.put_double(struct.unpack(">d", bytes.fromhex(value["v"]))[0])
    elif name == "decimal32":
        data.put_decimal32(int(value["v"], 16))
    elif name == "decimal64":
        data.put_decimal64(int(value["v"], 16))
    elif name == "decimal128":
        data.put_decimal128(bytes.fromhex(value["v"]))
    elif name == "uuid":
        data.put_uuid(uuid.UUID(value["v"]))
    elif name == "binary":
        data.put_binary(bytes.fromhex(value["v"]))
    elif name == "string":
        data.put_string(value["v"])
    elif name == "symbol":
        data.put_symbol(value["v"])
    elif name == "list":
        data.put_list()
        _put_children(data, value["v"])
    elif name == "map":
        data.put_map()
        _put_children(data, [item for pair in value["v"] for item in pair])
    elif name == "described":
        data.put_described()
        _put_children(data, [value["d"], value["v"]])
    elif name == "array":
        described = "d" in value
        data.put_array(described, NUMBERS[value["of"]])
        _put_children(data, ([value["d"]] if described else []) + value["v"])
    else:
        raise ValueError("a value of type %s" % name)


def _put_children(data, values):
    data.enter()
    for value in values:
        write_node(data, value)
    data.exit()


def encode(value):
    """The bytes of one value."""
    data = Data()
    write_node(data, value)
    return bytes(data.encode())


def decode(raw):
    """One value and the bytes after it."""
    data = Data()
    used = data.decode(raw)
    data.rewind()
    data.next()
    return read_node(data), raw[used:]


def read_data(impl):
    """The first value of a pn_data_t that Proton owns, or None."""
    if impl == ffi.NULL:
        return None
    data = Data(impl)
    data.rewind()
    found = read_node(data) if data.next() is not None else None
    data.rewind()
    return found


# --- messages -----------------------------------------------------------------------------------------------------

def encode_message(message):
    """The bytes of a message: each section put through Proton's encoder."""
    out = b""
    for section in message["sections"]:
        name, content = section["s"], section["v"]
        if name in FIELDS:
            unknown = set(content) - set(FIELDS[name])
            if unknown:
                raise ValueError("no field %s in %s" % (sorted(unknown), name))
            fields = [content.get(field, {"t": "null"}) for field in FIELDS[name]]
            while fields and fields[-1]["t"] == "null":
                fields.pop()
            content = {"t": "list", "v": fields}
        out += encode({"t": "described", "d": {"t": "ulong", "v": CODES[name]}, "v": content})
    return out


def decode_message(raw):
    """The sections of a message as Proton's decoder sees them."""
    sections = []
    while raw:
        value, raw = decode(raw)
        if value["t"] != "described" or value["d"].get("v") not in SECTIONS:
            raise ValueError("not a section: %s" % value)
        name, content = SECTIONS[value["d"]["v"]], value["v"]
        if name in FIELDS:
            content = {field: item for field, item in zip(FIELDS[name], content["v"]) if item["t"] != "null"}
        sections.append({"s": name, "v": content})
    return {"sections": sections}


def application_properties(message):
    """The application properties as plain Python values, by name."""
    for section in message["sections"]:
        if section["s"] == "application-properties":
            return {key["v"]: value.get("v") for key, value in section["v"]["v"]}
    return {}


# --- what proton.Message makes of it ------------------------------------------------------------------------------

PYTHON_TYPES = {
    proton.ubyte: "ubyte", proton.ushort: "ushort", proton.uint: "uint", proton.ulong: "ulong", proton.byte: "byte",
    proton.short: "short", proton.int32: "int", int: "long", proton.timestamp: "timestamp",
}


def from_python(value):
    """A value as proton.Message hands it to a program, typed by its Python class."""
    kind = type(value)
    if value is None:
        return {"t": "null"}
    if kind is bool:
        return {"t": "boolean", "v": value}
    if kind in PYTHON_TYPES:
        return {"t": PYTHON_TYPES[kind], "v": int(value)}
    if kind is proton.float32:
        return {"t": "float", "v": struct.pack(">f", value).hex()}
    if kind is float:
        return {"t": "double", "v": struct.pack(">d", value).hex()}
    if kind is proton.decimal32:
        return {"t": "decimal32", "v": "%08x" % value}
    if kind is proton.decimal64:
        return {"t": "decimal64", "v": "%016x" % value}
    if kind is proton.decimal128:
        return {"t": "decimal128", "v": bytes(value).hex()}
    if kind is proton.char:
        return {"t": "char", "v": ord(value)}
    if kind is uuid.UUID:
        return {"t": "uuid", "v": str(value)}
    if kind in (bytes, bytearray, memoryview):
        return {"t": "binary", "v": bytes(value).hex()}
    if kind is proton.symbol:
        return {"t": "symbol", "v": str(value)}
    if kind is str:
        return {"t": "string", "v": value}
    if isinstance(value, Described):
        return {"t": "described", "d": from_python(value.descriptor), "v": from_python(value.value)}
    if isinstance(value, Array):
        out = {"t": "array", "of": NAMES.get(value.type, value.type), "v": [from_python(item) for item in value.elements]}
        if value.descriptor != proton.UNDESCRIBED:
            out["d"] = from_python(value.descriptor)
        return out
    if isinstance(value, dict):
        return {"t": "map", "v": [[from_python(key), from_python(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"t": "list", "v": [from_python(item) for item in value]}
    return {"t": "unmapped", "v": repr(value)}


def to_python(value):
    """The Python value that a program would give to proton.Message."""
    name, item = value["t"], value.get("v")
    if name == "null":
        return None
    if name in ("boolean", "string"):
        return item
    if name == "long":
        return int(item)
    if name in INTEGERS:
        return getattr(proton, "int32" if name == "int" else name)(item)
    if name == "float":
        return proton.float32(struct.unpack(">f", bytes.fromhex(item))[0])
    if name == "double":
        return struct.unpack(">d", bytes.fromhex(item))[0]
    if name in ("decimal32", "decimal64"):
        return getattr(proton, name)(int(item, 16))
    if name == "decimal128":
        return proton.decimal128(bytes.fromhex(item))
    if name == "char":
        return proton.char(chr(item))
    if name == "timestamp":
        return proton.timestamp(item)
    if name == "uuid":
        return uuid.UUID(item)
    if name == "binary":
        return bytes.fromhex(item)
    if name == "symbol":
        return proton.symbol(item)
    if name == "list":
        return [to_python(child) for child in item]
    if name == "map":
        return {to_python(key): to_python(child) for key, child in item}
    if name == "described":
        return Described(to_python(value["d"]), to_python(item))
    if name == "array":
        descriptor = to_python(value["d"]) if "d" in value else proton.UNDESCRIBED
        return Array(descriptor, NUMBERS[value["of"]], *[to_python(child) for child in item])
    raise ValueError("a value of type %s" % name)


def message_view(raw):
    """A message as proton.Message shows it to a program."""
    message = proton.Message()
    try:
        message.decode(raw)
        return {
            "body": from_python(message.body), "properties": from_python(message.properties),
            "annotations": from_python(message.annotations), "instructions": from_python(message.instructions),
            "id": from_python(message.id), "correlation_id": from_python(message.correlation_id),
            "user_id": from_python(message.user_id), "address": from_python(message.address),
            "subject": from_python(message.subject), "reply_to": from_python(message.reply_to),
            "content_type": from_python(message.content_type),
            "content_encoding": from_python(message.content_encoding), "inferred": message.inferred,
            "durable": message.durable, "priority": message.priority, "ttl": message.ttl,
            "delivery_count": message.delivery_count, "first_acquirer": message.first_acquirer,
        }
    except Exception as error:  # what a program would meet, told to the test
        return {"error": "%s: %s" % (type(error).__name__, error)}


def to_message(description):
    """A proton.Message of a description that has an amqp-value body, and perhaps application properties and an id."""
    message = proton.Message()
    for section in description["sections"]:
        name, content = section["s"], section["v"]
        if name == "amqp-value":
            message.body = to_python(content)
        elif name == "application-properties":
            message.properties = to_python(content)
        elif name == "message-annotations":
            message.annotations = to_python(content)
        elif name == "properties":
            for field, attribute in (("message-id", "id"), ("correlation-id", "correlation_id"), ("subject", "subject")):
                if field in content:
                    setattr(message, attribute, to_python(content[field]))
        elif name == "header":
            for field in ("durable", "priority"):
                if field in content:
                    setattr(message, field, to_python(content[field]))
        else:
            raise ValueError("proton.Message is not asked for a %s section here" % name)
    return message
