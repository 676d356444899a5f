// An inbox in a page: one EventSource, which reconnects by itself and names with Last-Event-ID what it had last.
// In the address: #token=…, the user's JWT, and &gateway=https://…, where what is read is marked (its cors_origins must
// name this page's origin). Without a gateway the page only shows.
"use strict";

const settings = new URLSearchParams(location.hash.slice(1));
const byId = (id) => document.getElementById(id);
const items = byId("items");
const shown = new Map(); // by notification_id: a repeat is shown once
let unread = 0;

function subject(token) {
  const payload = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0)))).sub;
}

function showUnread(count) {
  unread = count;
  byId("badge").hidden = count === 0;
  byId("badge").textContent = count > 99 ? "99+" : count;
  byId("badge").setAttribute("aria-label", `${count} unread`);
  byId("read-all").hidden = count === 0 || !settings.get("gateway");
  document.title = count ? `(${count}) Inbox` : "Inbox";
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text; // never innerHTML: what is in a notification is not ours
  made.className = className;
  return made;
}

function link(notification) {
  const title = notification.title || notification.text || "Notification";
  if (!/^https?:\/\//.test(notification.link || "")) return element("strong", title);
  const strong = element("strong", "");
  const anchor = element("a", title);
  anchor.href = notification.link;
  strong.append(anchor);
  return strong;
}

function show(notification, { toast = true } = {}) {
  const id = notification.notification_id || crypto.randomUUID();
  if (shown.has(id)) return false;
  const isRead = Boolean(notification.read || notification.read_at);
  const item = element("li", "", isRead ? "" : "unread");
  item.append(link(notification), element("span", notification.body || ""));
  item.append(document.createElement("br"), element("time", new Date(notification.created_at || Date.now()).toLocaleString()));
  items.prepend(item);
  shown.set(id, item);
  byId("empty").hidden = true;
  if (toast && !isRead) popUp(notification.title || notification.text || "New notification");
  return !isRead && Boolean(notification.notification_id);
}

function popUp(text) {
  const toast = element("div", text, "toast");
  byId("toasts").append(toast);
  setTimeout(() => toast.remove(), 5000);
}

function markRead(ids) {
  for (const id of ids) shown.get(id)?.classList.remove("unread");
}

async function gateway(token, path, options = {}) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const url = `${settings.get("gateway")}/v1/users/${encodeURIComponent(subject(token))}/inbox${path}`;
  const answer = await fetch(url, { ...options, headers });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function loadHistory(token) {
  const page = await gateway(token, "?limit=50");
  for (const item of page.items.reverse()) show(item, { toast: false });
  showUnread(page.unread);
}

function connect(token) {
  byId("sign-in").hidden = true;
  const source = new EventSource(`v1/stream?access_token=${encodeURIComponent(token)}`);
  source.addEventListener("ready", async (event) => {
    byId("state").textContent = "connected";
    const ready = JSON.parse(event.data);
    if (ready.unread !== null) showUnread(ready.unread);
    if (settings.get("gateway")) await loadHistory(token);
  });
  source.addEventListener("notification", (event) => {
    if (show(JSON.parse(event.data))) showUnread(unread + 1);
  });
  source.addEventListener("read", (event) => {
    const read = JSON.parse(event.data);
    markRead(read.notification_ids);
    showUnread(read.unread);
  });
  source.addEventListener("error", () => {
    const closed = source.readyState === EventSource.CLOSED;
    byId("state").textContent = closed ? "refused: is the token still valid?" : "reconnecting";
    byId("sign-in").hidden = !closed;
  });
  byId("read-all").addEventListener("click", () =>
    gateway(token, "/read", { method: "POST", body: JSON.stringify({ all: true }) }).catch((error) => popUp(error.message)),
  );
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  connect(byId("token").value.trim());
});

if (settings.get("token")) connect(settings.get("token"));
else {
  byId("state").textContent = "not connected";
  byId("sign-in").hidden = false;
}
