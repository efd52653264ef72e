// From the bytes of files to packed weights, piece by piece and by all threads: no copy of a whole
// tensor ever exists beside the resident one.
#pragma once
#include <vector>

#include "base/context.h"
#include "base/view.h"
#include "model/source.h"

namespace keyheads {

// Fills all of `w` from checked sources. Throws CANCELLED, and BAD_CHECKPOINT if a file is another
// one than when it was opened.
template <class T>
void load_weight(Context& ctx, Files& files, const std::vector<TensorSource>& parts,
                 const Weight<T>& w);

}  // namespace keyheads
