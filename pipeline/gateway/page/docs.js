"use strict";

/* Builds one form for each operation of /openapi.json. Text is only ever set as text, so nothing in it is executed. */

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolve(api, schema) {
  return schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema || {};
}

function example(api, schema, depth = 0) {
  const known = resolve(api, schema);
  if (depth > 5) return null;
  if ("default" in known && known.default !== null) return known.default;
  if ("const" in known) return known.const;
  if (known.enum) return known.enum[0];
  const options = known.anyOf || known.oneOf;
  if (options) return example(api, options[0], depth + 1);
  const type = Array.isArray(known.type) ? known.type[0] : known.type;
  if (type === "object") {
    const required = new Set(known.required || []);
    const names = Object.keys(known.properties || {}).filter((name) => required.has(name));
    return Object.fromEntries(names.map((name) => [name, example(api, known.properties[name], depth + 1)]));
  }
  if (type === "array") return [example(api, known.items, depth + 1)];
  if (type === "boolean") return true;
  if (type === "integer" || type === "number") return known.minimum || 1;
  return type === "null" ? null : "string";
}

function operation(api, path, method, described) {
  const inputs = (described.parameters || []).map((parameter) => {
    const id = [described.operationId, parameter.in, parameter.name].join("-");
    return { parameter, input: element("input", { id, required: parameter.required }), id };
  });
  const form = element("form");
  if (described.description) form.append(element("p", { textContent: described.description }));
  for (const { parameter, input, id } of inputs) {
    form.append(element("label", { htmlFor: id, textContent: parameter.name + " (" + parameter.in + ")" }), input);
  }
  const body = described.requestBody && bodyFields(api, described, form);
  const answer = element("pre", { hidden: true });
  answer.setAttribute("aria-live", "polite");
  form.append(element("button", { textContent: "Send" }), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.hidden = false;
    answer.textContent = "…";
    answer.textContent = await send(path, method, inputs, body).catch(String);
  });
  const summary = element("summary", {}, element("b", { textContent: method.toUpperCase() }), path + " – " + described.summary);
  return element("details", {}, summary, form);
}

function bodyFields(api, described, form) {
  const contents = described.requestBody.content;
  const kinds = Object.keys(contents);
  const kind = element("select", { id: described.operationId + "-kind" }, ...kinds.map((k) => element("option", { textContent: k })));
  const text = element("textarea", { id: described.operationId + "-body", rows: 8, spellcheck: false });
  const fill = () => { text.value = JSON.stringify(example(api, contents[kind.value].schema), null, 2); };
  kind.addEventListener("change", fill);
  fill();
  form.append(element("label", { htmlFor: kind.id, textContent: "Content-Type" }), kind);
  form.append(element("label", { htmlFor: text.id, textContent: "Body" }), text);
  return { kind, text };
}

async function send(path, method, inputs, body) {
  let target = path;
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") target = target.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    else if (input.value) query.set(parameter.name, input.value);
  }
  const token = document.getElementById("token").value.trim();
  const headers = token ? { Authorization: "Bearer " + token } : {};
  if (body) headers["Content-Type"] = body.kind.value;
  const url = query.size ? target + "?" + query : target;
  const response = await fetch(url, { method: method.toUpperCase(), headers, body: body ? body.text.value : undefined });
  const text = await response.text();
  const shown = text && (response.headers.get("Content-Type") || "").includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
  return response.status + " " + response.statusText + "\n\n" + shown;
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  const areas = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const tag = described.tags[0];
      if (!areas.has(tag)) areas.set(tag, [element("h2", { textContent: tag })]);
      areas.get(tag).push(operation(api, path, method, described));
    }
  }
  document.getElementById("operations").replaceChildren(...[...areas.values()].flat());
}

main();
