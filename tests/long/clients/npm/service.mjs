// What the clients' tests share: the graph's URL and the names of the models they ask.

export const url = process.env.PRSM_CLIENTS_URL;
export const openaiURL = `${url}/v1`;
export const chat = "SmolLM2-135M-Instruct";
export const torch = "SmolLM2-135M-Instruct-torch";
export const vectors = "all-MiniLM-L6-v2";
export const question = [{ role: "user", content: "What is the capital of France?" }];
export const at = (model) => `${url}/models/${model}`;

export const cosine = (one, other) => {
  const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
};
