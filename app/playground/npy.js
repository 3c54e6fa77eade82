// numpy's files: float32 out, what the API sends in.

const TYPES = { "<f4": Float32Array, "|u1": Uint8Array, "<f8": Float64Array };

// A file of float32 numbers in C order.
export function writeNpy(shape, numbers) {
  const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const padded = `${head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11)}\n`;
  const preamble = new Uint8Array([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  return new Blob([preamble, padded, new Float32Array(numbers)]);
}

// {shape, data} of a file.
export function readNpy(buffer) {
  const length = new DataView(buffer).getUint16(8, true);
  const head = new TextDecoder("latin1").decode(new Uint8Array(buffer, 10, length));
  const shape = head.match(/'shape': \(([^)]*)\)/)[1].split(",").map((part) => part.trim()).filter(Boolean).map(Number);
  const Kind = TYPES[head.match(/'descr': '([^']+)'/)[1]];
  return { shape, data: new Kind(buffer.slice(10 + length)) };
}
