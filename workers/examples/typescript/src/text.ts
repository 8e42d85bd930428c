// Reading JSON without losing a digit: JavaScript has one kind of number, so an
// element that is to go back unchanged has to go back as the text that came in.

/** A member of an object, or an item of a list (then without a name). */
export interface Part {
  name: string | undefined;
  begin: number;
  end: number;
}

const SPACE = new Set([" ", "\t", "\r", "\n"]);

export function skip(text: string, at: number): number {
  while (SPACE.has(text[at] ?? "")) at++;
  return at;
}

/** The parts of the object or list at text[at], which JSON.parse has accepted. */
export function* parts(text: string, at: number): Generator<Part> {
  const closing = text[at] === "{" ? "}" : "]";
  at = skip(text, at + 1);
  while (text[at] !== closing) {
    let name: string | undefined;
    if (closing === "}") {
      const end = endOf(text, at);
      name = JSON.parse(text.slice(at, end)) as string;
      at = skip(text, skip(text, end) + 1); // the colon
    }
    const end = endOf(text, at);
    yield { name, begin: at, end };
    at = skip(text, end);
    if (text[at] === ",") at = skip(text, at + 1);
  }
}

/** Where the value at text[at] ends. */
function endOf(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return endOfString(text, at);
  if (first !== "{" && first !== "[") {
    while (at < text.length && !SPACE.has(text[at]!) && !",]}".includes(text[at]!)) at++;
    return at;
  }
  for (let depth = 0; ; at++) {
    const c = text[at];
    if (c === '"') at = endOfString(text, at) - 1;
    else if (c === "{" || c === "[") depth++;
    else if ((c === "}" || c === "]") && --depth === 0) return at + 1;
  }
}

function endOfString(text: string, at: number): number {
  for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
  return at + 1;
}

/** The text of an object's member, or undefined; a name that is there twice throws. */
export function member(text: string, at: number, name: string): Part | undefined {
  let found: Part | undefined;
  for (const part of parts(text, at)) {
    if (part.name !== name) continue;
    if (found) throw new Error(`${name} is there twice`);
    found = part;
  }
  return found;
}
