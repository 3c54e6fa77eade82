// The OpenAPI document as people read it: one path for each operation, the two others folded below,
// probes last, in the system's colours.

const OPERATIONS = "operations";
const FOLDED = {
  by_model: "the same, for a model",
  by_version: "the same, for one version of a model",
};

function arrange(api) {
  const known = Object.fromEntries(api.tags.map((tag) => [tag.name, tag]));
  for (const operation of Object.values(api.paths).flatMap(Object.values)) {
    if (["models", "probes"].includes(operation.tags[0])) continue;
    const scope = /_(by_model|by_version)$/.exec(operation.operationId);
    operation.tags = [scope ? FOLDED[scope[1]] : OPERATIONS];
  }
  const below = "Of the default model. The same of a model, or of one of its versions, stand folded below.";
  api.tags = [
    { name: OPERATIONS, description: below },
    known.models,
    ...Object.values(FOLDED).map((name) => ({ name })),
    known.probes,
  ];
  // The service may be behind a proxy that serves it under a prefix.
  const prefix = new URL(".", location.href).pathname.replace(/\/$/, "");
  api.servers = [{ url: prefix || "/" }];
  return api;
}

function followColours() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

// What Swagger UI leaves out: the name of the list of servers, and that a button holds no link.
function completeControls() {
  document.getElementById("servers")?.setAttribute("aria-label", "Server");
  for (const link of document.querySelectorAll("button.opblock-summary-control a")) link.removeAttribute("href");
}

followColours();
const root = document.getElementById("swagger-ui");
new MutationObserver(completeControls).observe(root, { childList: true, subtree: true });
const response = await fetch("openapi.json");
const ui = SwaggerUIBundle({
  spec: arrange(await response.json()),
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
});
// Folding changes the address, which may lead to what is folded.
const { hash, pathname } = location;
for (const name of Object.values(FOLDED)) {
  if (!decodeURIComponent(hash).startsWith(`#/${name}`)) {
    ui.layoutActions.show(["operations-tag", name], false);
  }
}
history.replaceState(null, "", hash || pathname);
