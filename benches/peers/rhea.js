// rhea as a bench peer: one connection, one link, at-least-once, on 127.0.0.1. NODE_PATH names the folder with rhea.
//
//     rhea.js recv PORT COUNT CREDIT          listens, takes COUNT messages, with CREDIT as the library's credit window
//     rhea.js send PORT COUNT SIZE [CREDIT]   connects, sends COUNT messages of one data section of SIZE bytes
//
// It prints what proton_c.c prints.
'use strict';

const rhea = require('rhea');

const MAX_FRAME = 32768;
const [role, port, count, last] = [process.argv[2], ...process.argv.slice(3).map(Number)];
let started = 0, finished = 0, wall, cpu;

function cpuNow() {
    const {user, system} = process.cpuUsage();
    return (user + system) / 1e6;
}

function wallNow() {
    return Number(process.hrtime.bigint()) / 1e9;
}

function startClocks() {
    [wall, cpu] = [wallNow(), cpuNow()];
}

function report() {
    const [secs, used] = [wallNow() - wall, cpuNow() - cpu];
    console.log(JSON.stringify({impl: 'rhea', role, n: finished, secs, cpu: used}));
}

function send(size) {
    const container = rhea.create_container();
    const body = rhea.message.data_section(Buffer.alloc(size, 'x'));
    container.on('sendable', ({sender}) => {
        if (started === 0) startClocks();
        while (started < count && sender.sendable()) {
            sender.send({message_id: started++, body});
        }
    });
    container.on('accepted', ({connection}) => {
        if (++finished === count) {
            report();
            connection.close();
        }
    });
    container.on('disconnected', () => process.exit(finished === count ? 0 : 1));
    container
        .connect({host: '127.0.0.1', port, username: 'anonymous', reconnect: false, max_frame_size: MAX_FRAME})
        .open_sender({target: 'bench', snd_settle_mode: 0});
}

function receive(credit) {
    const container = rhea.create_container();
    container.sasl_server_mechanisms.enable_anonymous();
    // rhea does not echo the termini by itself, and some senders take their absence for a refusal.
    container.on('receiver_open', ({receiver}) => {
        receiver.set_target({address: 'bench'});
        receiver.set_source({});
    });
    container.on('message', ({message}) => {
        if (finished === 0) startClocks();
        if (!message.body) throw new Error('a message has no body');
        if (++finished === count) report();
    });
    const receiver_options = {credit_window: credit, autoaccept: true};
    const server = container.listen({host: '127.0.0.1', port, max_frame_size: MAX_FRAME, receiver_options});
    const leave = () => finished === count ? process.exit(0) : process.exit(1);
    container.on('connection_close', () => setImmediate(leave));
    container.on('disconnected', leave);
    server.on('listening', () => console.error('ready'));
}

if (role === 'send') send(last);
else if (role === 'recv') receive(last);
else {
    console.error('usage: rhea.js recv PORT COUNT CREDIT | send PORT COUNT SIZE [CREDIT]');
    process.exit(64);
}
