// Products of a weight that is still in its files: computed from what is read piece by piece, with
// the bits of the packed weight's. A model's first small run needs no packed copy, whose fresh
// memory costs the system more than the run costs the processor.
#pragma once
#include "base/context.h"
#include "model/weights.h"

namespace keyheads {

// Whether the rows of the weight are rows in its files.
template <class T>
bool can_stream(const Parameter<T>& w);

// y = x W^T + bias: from the files where they are all there is of W, x has few rows and this is W's
// first product; else from the packed weight. Throws as Parameter::weight does.
template <class T>
void multiply(Context& ctx, Mat<T> y, Mat<const T> x, const Parameter<T>& w,
              const Parameter<T>* bias);

// y[m] = factor * W[ids[m]], likewise, apart from products.
template <class T>
void look_up(Context& ctx, Mat<T> y, const Parameter<T>& w, const int32_t* ids, T factor);

}  // namespace keyheads
