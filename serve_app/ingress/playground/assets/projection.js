const ROUNDS = 100;

/**
 * Principal component analysis: the plane in which vectors differ most. The two components are
 * found by power iteration on the matrix of the centred vectors' products.
 */
export class Projection {
  /** @param {number[][]} vectors */
  constructor(vectors) {
    const size = vectors[0].length;
    this.mean = Array.from({ length: size }, (_, i) => average(vectors.map((vector) => vector[i])));
    const centred = vectors.map((vector) => this.#centred(vector));
    const products = centred.map((left) => centred.map((right) => dot(left, right)));
    this.axes = [0, 1].map((which) => {
      const weights = largest(products, which);
      const axis = Array.from({ length: size }, (_, i) => dot(weights, centred.map((vector) => vector[i])));
      return unit(axis);
    });
  }

  /**
   * Where a vector lies in the plane.
   * @param {number[]} vector
   * @returns {[number, number]}
   */
  of(vector) {
    const centred = this.#centred(vector);
    return [dot(this.axes[0], centred), dot(this.axes[1], centred)];
  }

  #centred(vector) {
    return vector.map((value, i) => value - this.mean[i]);
  }
}

/** The eigenvector of the largest eigenvalue, which is then taken out of `matrix`. */
function largest(matrix, seed) {
  let vector = unit(matrix.map((_, i) => Math.sin(1 + i + seed))); // the same at every run
  for (let round = 0; round < ROUNDS; round += 1) vector = unit(matrix.map((row) => dot(row, vector)));
  const value = dot(vector, matrix.map((row) => dot(row, vector)));
  matrix.forEach((row, i) => row.forEach((_, j) => (row[j] -= value * vector[i] * vector[j])));
  return vector;
}

function dot(left, right) {
  let sum = 0;
  for (let i = 0; i < left.length; i += 1) sum += left[i] * right[i];
  return sum;
}

function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return length > 1e-12 ? vector.map((value) => value / length) : vector.map(() => 0);
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
