const SIZE = 192;

/** An image to try, which the embedded profile's models know: a red circle. */
export async function drawing() {
  const canvas = document.createElement("canvas");
  canvas.width = SIZE;
  canvas.height = SIZE;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, SIZE, SIZE);
  pen.fillStyle = "rgb(230, 20, 20)";
  pen.beginPath();
  pen.arc(90, 80, 40, 0, 2 * Math.PI);
  pen.fill();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "circle.png", { type: "image/png" });
}
