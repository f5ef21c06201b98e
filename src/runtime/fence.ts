/**
 * Throws an OperatorError while this process may not act. Called right before anything leaves it: a process that was
 * stopped goes on wherever it was, and what it asked a moment ago is minutes old.
 */
export type Fence = () => void;

/** Of a process that never shares its work. */
export const open: Fence = () => undefined;
