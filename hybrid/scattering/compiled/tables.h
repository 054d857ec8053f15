// The structures of tables.py, for both compiled engines.

// How one filter is applied to a spectrum: element k of column group g of the folded product is the sum over
// t < count[g] of weight[e] * spectrum[offset[e]] with e = base[g] + k * count[g] + t. The sum over aliases is in it.
// sign[e] is im[e] / re[e], 1 or -1, where the weights are learned; else there is none.
struct Fold { const int *count, *base, *offset; const float *re, *im, *sign; };
struct Alias { int offset; float re, im; };  // one e

// One factor of the low-pass: out[i] = sum over t < taps of weights[t] * in[(start + step * i + t) mod size].
// The same in frequency: the inverse transform of the half spectrum times gains, folded to outputs + 2 * DROPPED samples, without
// the outermost ones.
struct Smoothing { int taps, start, step, outputs; const float *weights, *gains; };

struct Plan {
  int height, width;                       // of an image as it comes
  const int *source_row, *source_column;   // padded position -> position in the image
  int angles, order, channels;
  const Fold *first, *second;              // [j][theta]; [j1][j2][theta2]
  const Smoothing *vertical, *horizontal;  // by level: along a column, along a row
};
