/** What was started is ended again when something after it fails. */
export async function allOrNothing<T>(start: (parts: AsyncDisposableStack) => Promise<T>): Promise<T> {
  const parts = new AsyncDisposableStack();
  try {
    return await start(parts);
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}
