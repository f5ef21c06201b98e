/** What a product wants besides its settings, or does not let the operator see. */
import { PRODUCT_VERSION } from '../../api/annotations.ts';
import { bundleHolds } from '../desired.ts';
import { byHand } from '../drivers/manual.ts';
import { driverFor } from '../registry.ts';
import type { Rule } from './rule.ts';
import { parseVersion } from '../version.ts';

export const unknownIngressClass: Rule = {
  name: 'UnknownIngressClass',
  find({ frontend: { kind, className }, driver }, { observed }) {
    if (driver !== undefined) return undefined;
    const { controller } = observed.scope;
    const of = className === undefined ? `a ${kind} without a class` : `${kind} class ${className}`;
    const known = driverFor(controller);
    const message =
      known !== undefined && known.frontend !== kind
        ? `Of ${controller} client certificates are asked for by ${known.frontend} alone (driver ${known.name}): serve the host by one, and let that opt in.`
        : controller === ''
          ? `There is no terminator of ${of}: name a class whose controller is k8s.io/ingress-nginx, or another that docs/terminators.md names.`
          : byHand(controller);
    return { message: `${message} The host is not protected.`, bundle: 'keep' };
  },
};

export const terminatorNotPrepared: Rule = {
  name: 'TerminatorNotPrepared',
  find({ frontend: { settings }, driver, classAnnotations }) {
    const message = driver?.missing?.({ settings, classAnnotations });
    return message === undefined ? undefined : { message: `${message} Until then nothing is changed.`, bundle: 'keep' };
  },
};

/** As far as anybody says which version it is. */
export const terminatorOutdated: Rule = {
  name: 'TerminatorOutdated',
  find({ frontend: { className, ownKeys }, driver, version }, { observed }) {
    if (driver?.tooOld === undefined || version === undefined) return undefined;
    const parsed = parseVersion(version);
    const oldest = parsed === undefined ? undefined : driver.tooOld(parsed, observed.scope.controller);
    if (parsed !== undefined && oldest === undefined) return undefined;
    const what =
      oldest === undefined
        ? `Its class says that its version is ${version.slice(0, 64)}, which is none: write one such as 1.2.3`
        : `The terminator's version is ${version}, with holes that are known (docs/terminators.md): install ${oldest} or later`;
    const message = `${what}. The version is what class ${className ?? '(default)'} says, in annotation ${PRODUCT_VERSION}, else in its chart's label app.kubernetes.io/version.`;
    // What is there is kept right: without it still less would be verified.
    if (ownKeys.length > 0) return { message, bundle: 'write', configure: true };
    return { message: `${message} Until then nothing is written.`, bundle: 'keep' };
  },
};

export const trustStoreOutdated: Rule = {
  name: 'TrustStoreOutdated',
  find({ frontend, driver, bundle }, { desired }) {
    const wanted = desired.wanted.get(frontend.uid);
    // What is to be uploaded has to be there first.
    if (wanted === undefined || bundle?.ca === undefined || !bundleHolds(bundle, wanted)) return undefined;
    const { namespace, name, ca: pem } = bundle;
    const message = driver?.outdated?.(frontend.settings, { namespace, name, pem });
    return message === undefined ? undefined : { message, bundle: 'write' };
  },
};

export const terminatorNotProved: Rule = {
  name: 'TerminatorNotProved',
  find({ frontend, driver, proved, bundle }, { observed }) {
    if (driver?.inEffectBy !== 'proof' || proved) return undefined;
    const { controller } = observed.scope;
    const cas =
      bundle === undefined ? 'the CAs that are being written' : `the CAs of Secret ${bundle.namespace}/${bundle.name}`;
    return {
      message: `The terminator ${controller} is configured by hand (docs/terminators.md#by-hand): have it ask for client certificates on ${frontend.hosts.join(', ')} and verify them against ${cas}. It counts once a live connection has shown that it does (terminators.addresses in the chart's values).`,
      bundle: 'write',
    };
  },
};
