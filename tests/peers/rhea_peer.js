// A peer on rhea for the interop suites, with the commands, options and events of proton_peer.py, as far as it has them:
//
//     rhea_peer.js listen [options]
//     rhea_peer.js send URL ADDRESS [options]
//     rhea_peer.js receive URL ADDRESS -c N
//     rhea_peer.js request URL ADDRESS
//
// Where it differs: `--plain USER:PASSWORD` makes the listening peer offer PLAIN alone; `--together N` answers N messages at once, when
// all have come; `--websocket NAME` makes it listen behind a WebSocket that speaks the subprotocol NAME, and URLs of the schemes amqpws
// and amqpwss are connected to in that way. NODE_PATH names the folder with rhea and ws.
'use strict';

const fs = require('fs');
const {parseArgs} = require('util');
const rhea = require('rhea');
const typed = require('./typed_json.js')(rhea.types);

const string = {type: 'string'}, flag = {type: 'boolean', default: false};
const {values: args, positionals: [role, url, address = '']} = parseArgs({
    allowPositionals: true,
    options: {
        'limit': string, 'watch-stdin': flag, 'max-frame-size': string, 'idle-timeout': string, 'mechs': string, 'raw': flag,
        'outcome': {type: 'string', multiple: true, default: []}, 'tls-cert': string, 'tls-key': string, 'tls-ca': string,
        'credit': {type: 'string', default: '100'}, 'credit-once': flag, 'drain-after': string, 'plain': string,
        'settle-mode': {type: 'string', default: 'unsettled'}, 'links': {type: 'string', default: '1'}, 'virtual-host': string,
        'count': {type: 'string', short: 'c', default: '1'}, 'wait': string, 'drain': flag, 'dynamic': flag, 'no-sasl': flag,
        'link-name': string, 'together': {type: 'string', default: '1'}, 'no-nodes': flag, 'websocket': string, 'second': flag,
    },
});
const outcomes = args.outcome.map(text => text.startsWith('{') ? JSON.parse(text) : {outcome: text});
const container = rhea.create_container();
const held = [];
let answered = 0;

function emit(event, fields) {
    // process.stdout would lose what is not written when the process leaves.
    let line = Buffer.from(typed.stringify({event, ...fields}) + '\n');
    while (line.length) {
        try {
            line = line.subarray(fs.writeSync(1, line));
        } catch (error) {
            if (error.code !== 'EAGAIN') throw error;
        }
    }
}

function leave(code) {
    process.exit(code);
}

// A program sees messages that rhea has decoded; the suites want their bytes. What rhea fails to decode would end the connection:
// the suites want to hear of the other messages too.
const decode = rhea.message.decode;
rhea.message.decode = raw => {
    let message;
    try {
        message = decode(raw);
    } catch (error) {
        message = {failure: `${error.name}: ${error.message}`};
    }
    Object.defineProperty(message, 'raw', {value: raw});
    return message;
};

function errorOf(error) {
    return error ? {condition: error.condition, description: error.description === undefined ? null : error.description} : null;
}

/// The state that the other side gave to a delivery.
function remoteState(delivery) {
    const state = delivery.remote_state, name = state && state.constructor.composite_type;
    const out = {state: name || null, settled: delivery.remote_settled};
    const item = value => value && value.type.name !== 'Null' ? typed.toJson(value) : null;
    if (name === 'rejected') {
        out.error = errorOf(state.error);
        if (out.error) out.error.info = item(state.value[0].value[2]);
    } else if (name === 'modified') {
        out.failed = Boolean(state.delivery_failed);
        out.undeliverable = Boolean(state.undeliverable_here);
        out.annotations = item(state.value[2]);
    }
    return out;
}

/// The map of a wish as rhea takes it: an object.
function object(text) {
    if (!text) return undefined;
    const map = typeof text === 'string' ? typed.parse(text) : text;
    return Object.fromEntries(map.v.map(([key, value]) => [key.v, typed.fromJson(value)]));
}

function answer(delivery, wish) {
    switch (wish.outcome || 'accept') {
    case 'none': break;
    case 'reject':
        delivery.reject(wish.condition && {condition: wish.condition, description: wish.description, info: object(wish.info)});
        break;
    case 'release': delivery.release(); break;
    case 'modify':
        delivery.modified({delivery_failed: Boolean(wish.failed), undeliverable_here: Boolean(wish.undeliverable), message_annotations: object(wish.annotations)});
        break;
    default: delivery.accept();
    }
}

container.on('connection_open', ({connection}) => {
    const sasl = connection.sasl_transport, chosen = sasl && (sasl.selected || sasl);
    emit('open', {
        container: connection.container_id, hostname: connection.hostname, max_frame_size: connection.max_frame_size,
        channel_max: connection.channel_max, idle_timeout: connection.idle_time_out === undefined ? null : connection.idle_time_out / 1000,
        user: (chosen && (chosen.username || (chosen.mechanism && chosen.mechanism.username))) || null,
        mechanism: (chosen && chosen.mechanism_name) || null, encrypted: Boolean(connection.socket.encrypted),
    });
});
container.on('message', context => {
    const {delivery, receiver, message} = context, fields = {name: receiver.name, settled: delivery.remote_settled};
    let wish = {};
    try {
        if (message.failure) throw Error(message.failure);
        const seen = typed.decodeMessage(message.raw);
        Object.assign(fields, seen);
        wish = typed.applicationProperties(seen);
    } catch (error) {
        fields.error = `${error.name}: ${error.message}`;
    }
    if (args.raw) fields.raw = message.raw.toString('hex');
    if (outcomes.length) wish = outcomes[answered % outcomes.length];
    answered++;
    fields.tag = delivery.tag.toString('hex');
    fields.outcome = wish.outcome || 'accept';
    emit('message', fields);
    if (delivery.remote_settled) delivery.update(true); else held.push([delivery, wish]);
    if (held.length >= Number(args.together)) held.splice(0).forEach(([delivery, wish]) => answer(delivery, wish));
    onMessage(receiver, message.raw, message);
});
container.on('error', error => emit('error', {description: String(error.description || error)}));
container.on('protocol_error', error => emit('protocol-error', {description: String(error)}));
container.on('connection_error', ({connection, error}) => {
    if (!connection.remote.close) emit('transport-error', errorOf(error));
});
container.on('connection_close', ({connection}) => {
    if (connection.remote.close) {
        emit('close', {error: errorOf(connection.error)});
        onEnd('close');
    } else {
        onEnd('transport-error');
    }
});
for (const role of ['sender', 'receiver']) {
    container.on(role + '_close', context => {
        const link = context[role];
        emit('detach', {name: link.name, closed: Boolean(link.remote.detach.closed), error: errorOf(link.error)});
        onEnd('detach');
    });
    container.on(role + '_error', () => {});
}
container.on('session_error', () => {});
container.on('session_close', ({session}) => {
    emit('end', {error: errorOf(session.error)});
    onEnd('end');
});

let onMessage, onEnd;

function listen() {
    const kept = [], replies = new Map(), counts = new Map(), sent = new Map();

    /// Sends what the source has while there is credit, and gives the credit that is left.
    function pump(sender) {
        const [verb, first, second] = (sender.address || '').split('/');
        let room = sender.credit - sender.waiting;
        for (; room > 0; room--) {
            const done = sent.get(sender) || 0, answers = replies.get(sender.address) || [];
            let raw;
            if (answers.length) {
                raw = answers.shift();
            } else if (verb === 'echo' && done < kept.length) {
                raw = kept[done];
                try {
                    if (first === 'data') raw = typed.encodeMessage(typed.decodeMessage(raw));
                } catch (error) {
                    emit('send-error', {index: done, error: `${error.name}: ${error.message}`});
                    sent.set(sender, done + 1);
                    room++;
                    continue;
                }
            } else if (verb === 'generate' && done < Number(first)) {
                const body = {t: 'binary', v: Buffer.from({length: Number(second)}, (_, i) => i & 255).toString('hex')};
                raw = typed.encodeMessage({sections: [{s: 'data', v: body}]});
            } else {
                break;
            }
            sent.set(sender, done + 1);
            const delivery = sender.send(raw, Buffer.from(`t${done}`), 0);
            if (sender.snd_settle_mode === 1) delivery.settled = true;
            sender.waiting++;
            setImmediate(() => sender.waiting--);
        }
        return room;
    }

    function attached(link, role, end) {
        const {source, target} = link;
        emit('attach', {
            role, name: link.name, source: {address: source && source.address, dynamic: Boolean(source && source.dynamic)},
            target: {address: target && target.address, dynamic: Boolean(target && target.dynamic)},
            snd_settle_mode: ['unsettled', 'settled', 'mixed'][link.snd_settle_mode], rcv_settle_mode: ['first', 'second'][link.rcv_settle_mode],
        });
        link.address = end && end.dynamic ? 'dynamic-' + link.name : end && end.address;
        const [verb, ...condition] = (link.address || '').split('/');
        if (verb === 'refuse') {
            link.close({condition: condition.join('/'), description: 'refused as the address asks'});
            return false;
        }
        link.local.attach.snd_settle_mode = link.snd_settle_mode;
        link.local.attach.rcv_settle_mode = link.rcv_settle_mode;
        // As rhea does by itself: source and target of the answer say nothing.
        if (args['no-nodes']) return true;
        link.set_source({address: role === 'receiver' ? link.address : source && source.address});
        link.set_target({address: role === 'sender' ? link.address : target && target.address});
        return true;
    }

    /// Ends a link, its session or its connection when the address asks for it.
    function fate(link, count) {
        const [verb, after, ...condition] = (link.address || '').split('/');
        const what = {detach: link, end: link.session, close: link.connection}[verb];
        if (what && count === Number(after)) what.close({condition: condition.join('/'), description: 'as the address asks'});
    }

    onEnd = () => {};
    onMessage = (receiver, raw, message) => {
        kept.push(raw);
        if (receiver.address === 'serve') {
            const reply = rhea.message.encode({body: message.body.toUpperCase(), correlation_id: message.message_id});
            replies.set(message.reply_to, [...replies.get(message.reply_to) || [], reply]);
        }
        const count = (counts.get(receiver) || 0) + 1;
        counts.set(receiver, count);
        if (count === Number(args['drain-after'])) {
            // What was allowed stays allowed until the sender gives it up.
            receiver.drain_credit();
        } else if (!receiver.drain && !args['credit-once']) {
            receiver.add_credit(1);
        }
        fate(receiver, count);
        receiver.connection.each_sender(sender => { if (sender.is_open()) pump(sender); });
    };
    container.on('receiver_open', ({receiver}) => {
        if (!attached(receiver, 'sender', receiver.target)) return;
        receiver.add_credit(Number(args.credit));
        fate(receiver, 0);
    });
    container.on('sender_open', ({sender}) => {
        sender.waiting = 0;
        attached(sender, 'receiver', sender.source);
    });
    container.on('sender_flow', ({sender}) => { sender.left = pump(sender); });
    container.on('sender_draining', ({sender}) => {
        sender.set_drained(true);
        emit('draining', {name: sender.name, dropped: sender.left});
    });
    container.on('receiver_drained', ({receiver}) => {
        emit('drained', {name: receiver.name});
        receiver.drain = false;
        receiver.add_credit(Number(args.credit));
    });
    for (const state of ['accepted', 'rejected', 'released', 'modified']) {
        container.on(state, ({sender, delivery}) => {
            emit('outcome', {name: sender.name, tag: delivery.tag.toString('hex'), ...remoteState(delivery)});
        });
    }
    container.on('disconnected', () => emit('disconnected'));
    if (args.plain) {
        const [user, password] = args.plain.split(':');
        container.sasl_server_mechanisms.enable_plain((name, secret) => name === user && secret === password);
    }
    const tls = args['tls-cert'] && {transport: 'tls', cert: fs.readFileSync(args['tls-cert']), key: fs.readFileSync(args['tls-key'])};
    const options = {...common(), receiver_options: {credit_window: 0, autoaccept: false}, sender_options: {treat_modified_as_released: false}};
    if (args.websocket) {
        const {WebSocketServer} = require('ws');
        const server = new WebSocketServer({host: '127.0.0.1', port: 0, handleProtocols: () => args.websocket});
        server.on('connection', socket => container.websocket_accept(socket, options));
        server.on('listening', () => emit('ready', {port: server.address().port}));
        return;
    }
    const server = container.listen({host: '127.0.0.1', port: 0, ...tls, ...options});
    server.on('tlsClientError', error => emit('transport-error', {condition: error.code || null, description: error.message}));
    server.on('listening', () => emit('ready', {port: server.address().port}));
}

function common() {
    const out = {};
    if (args['max-frame-size']) out.max_frame_size = Number(args['max-frame-size']);
    if (args['idle-timeout']) out.idle_time_out = Number(args['idle-timeout']) * 1000;
    return out;
}

function connect() {
    let finished = false, failed = false;
    const {protocol, hostname, port, username, password} = new URL(url);
    const options = {host: hostname, port: Number(port), reconnect: false, ...common()};
    if (protocol === 'amqps:') {
        options.transport = 'tls';
        options.servername = hostname;
        if (args['tls-ca']) options.ca = fs.readFileSync(args['tls-ca']);
    }
    if (protocol === 'amqpws:' || protocol === 'amqpwss:') {
        const place = `${protocol.slice('amqp'.length)}//${hostname}:${port}/`;
        const trust = args['tls-ca'] ? {ca: fs.readFileSync(args['tls-ca'])} : {};
        options.connection_details = container.websocket_connect(require('ws'))(place, ['amqp'], trust);
    }
    if (!args['no-sasl']) options.username = username || 'anonymous';
    if (password && args.mechs !== 'ANONYMOUS') options.password = password;
    const connection = container.connect(options);
    const finish = () => {
        finished = true;
        connection.close();
    };
    onEnd = what => {
        if (finished) return what === 'close' && leave(failed ? 1 : 0);
        failed = true;
        if (what === 'close') return leave(1);
        finish();
        // After a failure that the other side does not answer, there is nobody to wait for.
        if (what === 'transport-error') setTimeout(() => leave(1), 200);
    };
    container.on('disconnected', ({error}) => {
        if (error && !finished) emit('transport-error', {condition: error.code || error.condition || null, description: error.message});
        emit('disconnected');
        leave(failed || !finished ? 1 : 0);
    });
    const told = link => emit('attached', {
        name: link.name, source: {address: link.source && link.source.address, dynamic: Boolean(link.source && link.source.dynamic)},
        target: {address: link.target && link.target.address},
        snd_settle_mode: ['unsettled', 'settled', 'mixed'][link.snd_settle_mode], rcv_settle_mode: ['first', 'second'][link.rcv_settle_mode],
    });
    container.on('sender_open', ({sender}) => told(sender));
    container.on('receiver_open', ({receiver}) => told(receiver));
    return {connection, finish};
}

function send() {
    const messages = fs.readFileSync(0, 'utf8').split('\n').filter(Boolean).map(typed.parse);
    const {connection, finish} = connect(), links = Number(args.links), settled = args['settle-mode'] === 'settled';
    const queues = Array.from({length: links}, () => []);
    messages.forEach((message, index) => queues[index % links].push([index, message]));
    let left = messages.length;
    const done = () => { if (left === 0) finish(); };
    onMessage = () => {};
    container.on('sender_draining', ({sender}) => sender.set_drained(true));
    container.on('sender_flow', ({sender}) => {
        for (let room = sender.credit; room > 0 && sender.queue.length; room--) {
            const [index, message] = sender.queue.shift();
            let raw;
            try {
                raw = message.raw ? Buffer.from(message.raw, 'hex') : typed.encodeMessage(message);
            } catch (error) {
                emit('send-error', {index, error: `${error.name}: ${error.message}`});
                left--;
                continue;
            }
            const delivery = sender.send(raw, Buffer.from(message.tag || index.toString(16).padStart(8, '0'), 'hex'), 0);
            delivery.index = index;
            if (settled || message.settled) {
                delivery.settled = true;
                emit('outcome', {index, state: null, settled: true, presettled: true});
                left--;
            }
        }
        // Behind what was given to rhea just now.
        setImmediate(done);
    });
    for (const state of ['accepted', 'rejected', 'released', 'modified']) {
        container.on(state, ({delivery}) => {
            emit('outcome', {index: delivery.index, ...remoteState(delivery)});
            left--;
            done();
        });
    }
    for (const queue of queues) {
        const sender = connection.open_sender({
            target: address, rcv_settle_mode: args.second ? 1 : 0, snd_settle_mode: {unsettled: 0, settled: 1, mixed: 2}[args['settle-mode']],
            treat_modified_as_released: false, ...(args['link-name'] && {name: args['link-name']}),
        });
        sender.queue = queue;
    }
}

function receive() {
    const {connection, finish} = connect(), count = Number(args.count);
    let got = 0;
    const receiver = connection.open_receiver({
        source: args.dynamic ? {dynamic: true} : address, rcv_settle_mode: args.second ? 1 : 0, credit_window: 0, autoaccept: false, ...(args['link-name'] && {name: args['link-name']}),
    });
    receiver.add_credit(Math.min(Number(args.credit), count));
    container.on('receiver_open', () => {
        if (args.drain) receiver.drain_credit();
        if (args.wait) {
            setTimeout(() => {
                emit('timeout', {got});
                leave(2);
            }, Number(args.wait) * 1000);
        }
    });
    container.on('receiver_drained', () => {
        emit('drained', {name: receiver.name, got});
        finish();
    });
    onMessage = () => {
        got++;
        if (got >= count) finish();
        else if (!args.drain && got + receiver.credit < count) receiver.add_credit(1);
    };
}

function request() {
    const messages = fs.readFileSync(0, 'utf8').split('\n').filter(Boolean).map(typed.parse);
    const {connection, finish} = connect();
    let asked = 0, got = 0;
    const receiver = connection.open_receiver({source: {dynamic: true}, credit_window: 0, autoaccept: false});
    const sender = connection.open_sender({target: address});
    receiver.add_credit(1);
    const ask = () => {
        const place = receiver.is_open() && receiver.source.address;
        if (asked > got || !place || !sender.sendable()) return;
        if (asked === messages.length) return finish();
        const properties = {'message-id': {t: 'ulong', v: asked}, 'reply-to': {t: 'string', v: place}};
        const sections = [{s: 'properties', v: properties}, ...messages[asked].sections];
        asked++;
        sender.send(typed.encodeMessage({sections}), Buffer.from(`t${asked}`), 0);
    };
    container.on('receiver_open', ask);
    container.on('sender_flow', ask);
    onMessage = () => {
        got++;
        receiver.add_credit(1);
        ask();
    };
}

const limit = Number(args.limit || 120);
setTimeout(() => {
    emit('limit', {seconds: limit});
    leave(3);
}, limit * 1000).unref();
if (args['watch-stdin'] && ['listen', 'receive'].includes(role)) process.stdin.resume().on('end', () => leave(0));
({listen, send, receive, request})[role]();
