import type { NamespaceGrant } from './fields.ts';

/** What a grant can speak of in a namespace. */
export interface GrantedNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Whether a namespace is granted: by its name, or by all the labels of the selector. Denied by default: no grant, no names
 * and no selector grant nothing. The empty selector grants every namespace, as a LabelSelector of Kubernetes does.
 */
export function namespaceGranted(grant: NamespaceGrant | undefined, namespace: GrantedNamespace): boolean {
  if (grant?.names?.includes(namespace.name) === true) return true;
  if (grant?.selector === undefined) return false;
  return Object.entries(grant.selector.matchLabels ?? {}).every(
    // Own members only: a label called `constructor` must not be found on the prototype.
    ([label, value]) => Object.hasOwn(namespace.labels, label) && namespace.labels[label] === value,
  );
}
