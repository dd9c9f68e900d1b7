/**
 * The events of a server-sent event stream (HTML Standard, 9.2.6), as they come.
 * A line that begins with a colon is given as `{comment}`.
 * @param {Response} answer
 * @returns {AsyncGenerator<{name: string, data: string} | {comment: string}>}
 */
export async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "", data: [] };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) yield { name: event.name, data: event.data.join("\n") };
        event = { name: "", data: [] };
      } else if (line.startsWith(":")) {
        yield { comment: line.slice(1).trim() };
      } else {
        const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
        if (field === "data") event.data.push(text);
        else if (field === "event") event.name = text;
      }
    }
  }
}
