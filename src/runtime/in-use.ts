/** What keeps an object, by a finalizer, for as long as others use it. Pure. */
import type { Check } from './pass.ts';

/** What objects that are kept so report. */
export const Condition = {
  ready: 'Ready',
  /** Only while it is being deleted: whether that can be finished. Apart from Ready: it still serves its users. */
  deletable: 'Deletable',
} as const;

export interface FinalizerStep {
  readonly name: 'addFinalizer' | 'removeFinalizer';
}

interface Use {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly finalizers: readonly string[];
    readonly deletionTimestamp?: string | undefined;
  };
  readonly users: number;
}

export interface InUseOptions<V> {
  readonly finalizer: string;
  readonly useOf: (view: V) => Use;
  /** For people. */
  readonly messages: {
    readonly inUse: (users: number) => string;
    readonly unused: string;
    readonly unprotected: string;
  };
}

export interface InUseChecks<V> {
  readonly inUse: Check<V, FinalizerStep>;
  readonly finalizerToRemove: Check<V, FinalizerStep>;
  readonly finalizerToAdd: Check<V, FinalizerStep>;
}

/** Users come and go with events of their own; this is for one that was missed. */
const lookForUsersMs = 60_000;

/** In the order of the fields; what has to be done between use and release goes before `finalizerToRemove`. */
export function inUseChecks<V extends { readonly now: number }>(options: InUseOptions<V>): InUseChecks<V> {
  const { finalizer, useOf, messages } = options;
  return {
    inUse: {
      name: 'inUse',
      find(view) {
        const use = useOf(view);
        if (!isDeleting(use) || use.users === 0) return undefined;
        return {
          condition: Condition.deletable,
          status: 'False',
          reason: 'InUse',
          message: messages.inUse(use.users),
          at: view.now + lookForUsersMs,
        };
      },
    },
    finalizerToRemove: {
      name: 'finalizerToRemove',
      find(view) {
        const use = useOf(view);
        if (!isUnused(use)) return undefined;
        return {
          condition: Condition.deletable,
          status: 'Unknown',
          reason: 'FinalizerToRemove',
          message: messages.unused,
          step: { name: 'removeFinalizer' },
          basis: use.metadata.resourceVersion,
        };
      },
    },
    finalizerToAdd: {
      name: 'finalizerToAdd',
      find(view) {
        const use = useOf(view);
        if (isDeleting(use) || use.metadata.finalizers.includes(finalizer)) return undefined;
        return {
          condition: Condition.ready,
          status: 'Unknown',
          reason: 'FinalizerToAdd',
          message: messages.unprotected,
          step: { name: 'addFinalizer' },
          basis: use.metadata.resourceVersion,
        };
      },
    },
  };
}

export const isDeleting = ({ metadata }: Pick<Use, 'metadata'>): boolean => metadata.deletionTimestamp !== undefined;

/** It is being deleted and nobody is in the way. */
export const isUnused = (use: Use): boolean => isDeleting(use) && use.users === 0;
