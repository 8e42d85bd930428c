// The policy: put your own here.

export interface Element {
  elementId: string;
  labels?: string[]; // of nodes
  type?: string; // of relationships, as are these
  startNodeLabel?: string;
  endNodeLabel?: string;
  properties: Record<string, unknown>;
}

export interface Claims {
  preferred_username?: string;
  groups?: unknown;
}

const secretGroup = process.env.SECRET_GROUP ?? "/cleared";

/** Undefined hides; a list of names shows the element without those properties. */
export function verdict(claims: Claims, element: Element): string[] | undefined {
  const labels = element.labels ?? [element.startNodeLabel, element.endNodeLabel];
  const cleared = Array.isArray(claims.groups) && claims.groups.includes(secretGroup);
  if (labels.includes("Secret") && !cleared) return undefined;
  return Object.hasOwn(element.properties, "ssn") ? ["ssn"] : [];
}
