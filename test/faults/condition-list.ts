/** `Type=Status/Reason` of every condition, sorted: without times and words, which differ from run to run. */
export function conditionList(status: unknown): string[] {
  const conditions: unknown = Reflect.get(Object(status), 'conditions');
  if (!Array.isArray(conditions)) return [];
  return conditions
    .map((condition: unknown) => {
      const of = (member: string) => String(Reflect.get(Object(condition), member));
      return `${of('type')}=${of('status')}/${of('reason')}`;
    })
    .toSorted();
}
