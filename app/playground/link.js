// The page's state in the hash of its address, and back.

const PLAIN = /%(40|3A|2C|3B)/g; // @ : , ; stay readable

export function readLink() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")));
}

// "#m=mnist@1&v=latents&z=7:1.5"; empty fields are left out.
export function makeLink(fields) {
  const parts = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#${parts.map(([name, value]) => `${name}=${encodeURIComponent(value).replace(PLAIN, decodeURIComponent)}`).join("&")}`;
}

// Latents in a link have three decimals, and what is decoded has too: a link shows the same bytes.
export const round = (latent) => latent.map((value) => Math.round(value * 1000) / 1000 || 0);

// "7:1.5,31:-0.4" where few are not 0, else all of them.
export function writeLatent(latent) {
  const set = latent.map((value, index) => [index, value]).filter(([, value]) => value !== 0);
  if (set.length <= latent.length / 2) return set.map(([index, value]) => `${index}:${value}`).join(",") || "0:0";
  return latent.join(",");
}

// The latent of a text, or null where it is none of so many dimensions.
export function readLatent(text, size) {
  if (!text) return null;
  const parts = text.split(",");
  const latent = new Array(size).fill(0);
  if (!text.includes(":") && parts.length !== size) return null;
  for (const [place, part] of parts.entries()) {
    const [index, value] = part.includes(":") ? part.split(":").map(Number) : [place, Number(part)];
    if (!(index in latent) || !Number.isFinite(value)) return null;
    latent[index] = value;
  }
  return round(latent);
}
