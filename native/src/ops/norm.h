#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// LayerNorm (centre = true) and RMSNorm (centre = false), one row at a time; sums in double.
//   m = centre ? mean(x) : 0,  scale = sqrt(mean((x - m)^2) + eps)
//   normalized = (x - m) / scale,  y = normalized * (offset + gain) + bias
template <class T>
struct Norm {
  Mat<T> y;        // (M, C)  =
  T* mean;         // (M)     =  kept for the backward pass (zeros if not centred)
  T* scale;        // (M)     =  kept for the backward pass
  Mat<const T> x;  // (M, C)
  const T* gain;   // (C)
  const T* bias;   // (C) or null
  T offset;
  T eps;
  bool centre;
};

// g = dy * (offset + gain),  n = normalized
// dx = (g - centre * mean(g) - n * mean(g * n)) / scale;  dgain += sum dy * n;  dbias += sum dy
template <class T>
struct NormBackward {
  Mat<T> dx;        // (M, C)  = or += by `accumulate`; data null: not wanted
  T* dgain;         // (C)     +=, or null
  T* dbias;         // (C)     +=, or null
  Mat<const T> dy;  // (M, C)
  Mat<const T> x;   // (M, C)
  const T* mean;    // (M)
  const T* scale;   // (M)
  const T* gain;    // (C)
  T offset;
  bool centre;
  bool accumulate;
};

// The same norm in three steps, used when a hook looks between them; equal bits to Norm.
template <class T>
struct NormScale {
  T* mean;         // (M)     =
  T* scale;        // (M)     =
  Mat<const T> x;  // (M, C)
  T eps;
  bool centre;
};
// normalized = (x - mean) / scale
template <class T>
struct NormDivide {
  Mat<T> normalized;  // (M, C)  =
  Mat<const T> x;     // (M, C)
  const T* mean;      // (M)
  const T* scale;     // (M)
};
// y = normalized * (offset + gain) + bias
template <class T>
struct NormAffine {
  Mat<T> y;                 // (M, C)  =
  Mat<const T> normalized;  // (M, C)
  const T* gain;            // (C)
  const T* bias;            // (C) or null
  T offset;
};
// dx += dscale * d scale / d x = dscale * (x - mean) / (C * scale0), scale0 the unedited scale
template <class T>
struct NormScaleBackward {
  Mat<T> dx;        // (M, C)  +=
  const T* dscale;  // (M)
  Mat<const T> x;   // (M, C)
  const T* mean;    // (M)
  const T* scale;   // (M)  as NormScale gave it
};
// With the mean a function of x too: dx = (dn - centre * mean(dn)) / scale,
// dscale = -sum(dn * normalized) / scale
template <class T>
struct NormDivideBackward {
  Mat<T> dx;                 // (M, C)  =
  T* dscale;                 // (M)     =
  Mat<const T> dnormalized;  // (M, C)
  Mat<const T> normalized;   // (M, C)
  const T* scale;            // (M)  as NormDivide got it
  bool centre;
};
template <class T>
struct NormAffineBackward {
  Mat<T> dnormalized;       // (M, C)  =
  T* dgain;                 // (C)     +=, or null
  T* dbias;                 // (C)     +=, or null
  Mat<const T> dy;          // (M, C)
  Mat<const T> normalized;  // (M, C)
  const T* gain;            // (C)
  T offset;
};

DECLARE_OP(norm, Norm)
DECLARE_OP(norm_backward, NormBackward)
DECLARE_OP(norm_scale, NormScale)
DECLARE_OP(norm_divide, NormDivide)
DECLARE_OP(norm_affine, NormAffine)
DECLARE_OP(norm_scale_backward, NormScaleBackward)
DECLARE_OP(norm_divide_backward, NormDivideBackward)
DECLARE_OP(norm_affine_backward, NormAffineBackward)

}  // namespace keyheads::ops
