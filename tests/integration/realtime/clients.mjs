// The clients that web pages use, by npm. Prints what they see as JSON lines; ends with its standard input.
import { createRequire } from "node:module";

const [, , folder, url, token] = process.argv;
const require = createRequire(`${folder}/`);
const { io } = require("socket.io-client");
const { EventSource } = require("eventsource");

const say = (client, event, data) => console.log(JSON.stringify({ client, event, data }));

let after;
const socket = io(url, {
  auth: (give) => give(after === undefined ? { token } : { token, after }),
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
});
for (const event of ["ready", "notification", "read"]) {
  socket.on(event, (data) => {
    after = data.cursor ?? after;
    say("socket.io", event, data);
  });
}
socket.on("disconnect", (reason) => say("socket.io", "disconnect", reason));
socket.io.engine.on("upgrade", (transport) => say("socket.io", "upgrade", transport.name));

const source = new EventSource(`${url}/v1/stream?access_token=${token}`);
for (const event of ["ready", "notification", "read"]) {
  source.addEventListener(event, (message) => say("eventsource", event, JSON.parse(message.data)));
}
source.addEventListener("error", () => say("eventsource", "error", source.readyState));

process.stdin.on("end", () => process.exit(0)).resume();
