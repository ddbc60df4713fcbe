// Owns the API's page: draws /openapi.json, all from our own origin.

const build = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const METHODS = ["get", "post", "put", "delete"];

function schemaLink(schema) {
  if (!schema) return build("span", { textContent: "–" });
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return build("a", { href: `#schema-${name}`, textContent: name });
  }
  if (schema.type === "array") return build("span", {}, "list of ", schemaLink(schema.items));
  const some = schema.anyOf ?? schema.oneOf;
  if (some) return build("span", {}, ...some.flatMap((one, index) => (index ? [" or ", schemaLink(one)] : [schemaLink(one)])));
  if (schema.enum) return build("span", { textContent: schema.enum.map((value) => JSON.stringify(value)).join(", ") });
  if (schema.const !== undefined) return build("code", { textContent: JSON.stringify(schema.const) });
  const format = schema.format ? ` (${schema.format})` : "";
  return build("span", { textContent: (schema.type ?? "anything") + format });
}

function table(heads, rows) {
  const head = build("tr", {}, ...heads.map((text) => build("th", { textContent: text, scope: "col" })));
  return build("table", {}, build("thead", {}, head),
    build("tbody", {}, ...rows.map((cells) => build("tr", {}, ...cells.map((cell) => build("td", {}, cell))))));
}

function operation(path, method, told) {
  const box = build("details", { className: "operation" });
  box.append(build("summary", {}, build("span", { className: "method", textContent: method.toUpperCase() }),
    build("code", { textContent: path }), ` ${told.summary ?? ""}`));
  if (told.security?.length) box.append(build("p", { textContent: "Needs a user: Authorization: Bearer <JWT>." }));
  if (told.parameters?.length) {
    box.append(table(["Parameter", "In", "Type", ""], told.parameters.map((one) => [
      build("code", { textContent: one.name + (one.required ? " *" : "") }), one.in, schemaLink(one.schema), one.description ?? ""])));
  }
  const body = told.requestBody?.content?.["application/json"]?.schema;
  if (body) box.append(build("p", {}, "Body: ", schemaLink(body)));
  box.append(table(["Status", "Answer", ""], Object.entries(told.responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    return [status, build("span", {}, build("code", { textContent: type }), " ", content.schema ? schemaLink(content.schema) : ""), answer.description ?? ""];
  })));
  return box;
}

function schema(name, told) {
  const box = build("section", { className: "operation", id: `schema-${name}` }, build("h3", { textContent: name }));
  if (told.description) box.append(build("p", { textContent: told.description }));
  const required = new Set(told.required ?? []);
  box.append(table(["Field", "Type", ""], Object.entries(told.properties ?? {}).map(([field, one]) => [
    build("code", { textContent: field + (required.has(field) ? " *" : "") }), schemaLink(one), one.description ?? ""])));
  return box;
}

const told = await (await fetch("/openapi.json")).json();
document.getElementById("title").textContent = `${told.info.title} API ${told.info.version}`;
document.getElementById("about").textContent = told.info.description;
const groups = new Map();
for (const [path, methods] of Object.entries(told.paths)) {
  for (const method of METHODS.filter((one) => methods[one])) {
    const tag = methods[method].tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), operation(path, method, methods[method])]);
  }
}
for (const [tag, operations] of groups) {
  document.getElementById("operations").append(build("h2", { textContent: tag }), ...operations);
}
document.getElementById("schemas").append(...Object.entries(told.components.schemas).map(([name, one]) => schema(name, one)));
