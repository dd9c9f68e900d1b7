const [MAX_TEXT, MAX_LIST, SHOWN] = [400, 32, 6];

/**
 * For `JSON.stringify`: shortens long texts, as those of images, and long lists of numbers. It says by how much.
 * @param {string} _key
 * @param {unknown} value
 */
export function shortened(_key, value) {
  if (typeof value === "string" && value.length > MAX_TEXT) {
    return `${value.slice(0, 40)}… (${value.length} characters)`;
  }
  if (Array.isArray(value) && value.length > MAX_LIST && value.every((each) => typeof each === "number")) {
    return [...value.slice(0, SHOWN), `… (${value.length} numbers)`];
  }
  return value;
}
