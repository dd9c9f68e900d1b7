import { h, svg } from "./element.js";

const COLORS = 8;

/**
 * A picture with numbered boxes on it.
 * @param {HTMLImageElement} image
 * @param {{label: string, box: {xmin: number, ymin: number, xmax: number, ymax: number}}[]} found in pixels
 *   of the image as it is shown
 */
export function boxes(image, found) {
  const picture = h("div", { class: "picture" }, image);
  image.decode().then(
    () => picture.append(overlay(image, found)),
    () => picture.replaceChildren(h("p", { class: "hint" }, "This browser cannot show the image.")),
  );
  return picture;
}

function overlay(image, found) {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const labels = [...new Set(found.map((each) => each.label))];
  const unit = Math.max(width, height) / 36;
  const drawn = found.map(({ label, box }, i) => {
    const color = `k${labels.indexOf(label) % COLORS}`;
    return svg(
      "g",
      { class: color },
      svg("rect", { class: "box", x: box.xmin, y: box.ymin, width: box.xmax - box.xmin, height: box.ymax - box.ymin }),
      svg("rect", { class: "boxplate", x: box.xmin, y: box.ymin, width: unit * 2, height: unit * 2.4 }),
      svg("text", { class: "boxnumber", x: box.xmin + unit * 0.5, y: box.ymin + unit * 1.9, "font-size": unit * 1.9 }, i + 1),
    );
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...drawn);
}
