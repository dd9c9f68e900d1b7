import { h, svg } from "./element.js";

const [WIDTH, HEIGHT, EDGE] = [640, 330, 30];
const COLORS = 8;

/**
 * Points in a plane, numbered and coloured by cluster, with a list that says the same in words.
 * @param {{text: string, label: number, at: [number, number]}[]} points
 * @param {[number, number][]} centers by label
 * @param {string} model
 */
export function scatter(points, centers, model) {
  const place = scale([...points.map((point) => point.at), ...centers]);
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Map of ${points.length} texts in ${centers.length} clusters; the list below has the same` });
  const numbers = [];
  centers.forEach((center, label) => {
    const [x, y] = place(center);
    drawing.append(svg("path", { class: `center ${color(label)}`, d: `M${x - 6} ${y}h12M${x} ${y - 6}v12` }));
  });
  points.forEach((point, i) => {
    const [x, y] = place(point.at);
    drawing.append(svg("circle", { class: `point ${color(point.label)}`, cx: x, cy: y, r: 6 }, svg("title", {}, point.text)));
    numbers.push(svg("text", { x: x + 9, y: y + 4 }, i + 1));
  });
  drawing.append(...numbers); // above all points
  return h("div", {}, drawing, h("p", { class: "hint" }, `The two principal components of the vectors by ${model}; crosses are the clusters' centres.`), ...lists(points, centers.length));
}

function lists(points, count) {
  return Array.from({ length: count }, (_, label) => {
    const members = points.map((point, i) => ({ ...point, number: i + 1 })).filter((point) => point.label === label);
    const title = h("h3", {}, h("span", { class: `swatch ${color(label)}`, "aria-hidden": "true" }), `Cluster ${label + 1}`);
    return h("section", {}, title, h("ul", {}, ...members.map((each) => h("li", {}, `${each.number}. ${each.text}`))));
  });
}

/** From the plane of the points to the drawing's, the same unit both ways. */
function scale(places) {
  const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs), Math.max(...ys)];
  const [across, up] = [Math.max(...xs) - left, top - Math.min(...ys)];
  const unit = Math.min((WIDTH - 2 * EDGE) / (across || 1), (HEIGHT - 2 * EDGE) / (up || 1));
  const [dx, dy] = [(WIDTH - across * unit) / 2, (HEIGHT - up * unit) / 2];
  return ([x, y]) => [dx + (x - left) * unit, dy + (top - y) * unit];
}

const color = (label) => `k${label % COLORS}`;
