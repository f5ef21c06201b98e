import type { TerminatorDriver } from '../driver.ts';
import { otherProduct } from './other-products.ts';

/**
 * Terminators that the platform configures by hand and has declared (`terminators.manual.controllers`), which is how one is
 * known. The bundle is kept for them to read or copy; no setting is written, so that none can be read back: a live proof
 * alone says that they verify.
 */
export const manual: TerminatorDriver = {
  name: 'manual',
  frontend: 'Ingress',
  capabilities: {
    scope: 'controller',
    optional: true,
    request: true,
    crl: false,
    forwards: true,
    strips: 'whereForwarded',
    // What its name is, the platform says where the header is read.
    header: '',
  },
  bundleKind: 'Secret',
  ownedKeys: [],
  watchedKeys: [],
  companionKinds: [],
  inEffectBy: 'proof',
  detect: () => false,
  render: () => ({ settings: {}, companions: [] }),
  overwritesHeaders: () => false,
  hazard: () => undefined,
  bundleOf: () => undefined,
};

const DOCS = 'docs/terminators.md';

/** What the owner of an Ingress of an unknown class is told: first what to do. */
export function byHand(controller: string): string {
  const product = otherProduct(controller);
  if (product === undefined) {
    return `No driver knows controller ${controller}: use a class of a product in ${DOCS}, or have the platform configure it by hand (${DOCS}#by-hand) and list it in terminators.manual.controllers.`;
  }
  return `${product.name} is configured by hand: ${product.configure} (${DOCS}#${product.section}). Then the platform lists ${controller} in terminators.manual.controllers.`;
}
