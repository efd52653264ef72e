// From the bytes of files to packed weights, piece by piece and by all threads: no copy of a whole
// tensor ever exists beside the resident one.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/view.h"
#include "model/slots.h"

namespace keyheads {

// Where the bytes of some or all rows of a slot are (TensorSource of binding.ts).
struct TensorSource {
  SlotRef ref;
  int64_t rows[2];  // of the slot: first, last + 1
  std::string file;
  int64_t offset;
  std::string dtype;
  std::vector<int64_t> shape;
  bool transpose;
  int64_t start, length, stride;  // row rows[0] + n: start + n / length * stride + n % length
};

// The files of one model, each opened once.
class Files {
 public:
  const File& at(const std::string& path);

 private:
  std::map<std::string, std::unique_ptr<File>> open_;
};

// Throws BAD_CHECKPOINT unless these tensors, in ascending order of their rows, fill a slot of
// (n, k) and lie inside their files.
void check_sources(Files& files, const SlotRef& ref, int64_t n, int64_t k,
                   const std::vector<const TensorSource*>& parts);

// Fills all of `w` from checked sources. Throws CANCELLED, and BAD_CHECKPOINT if a file shrinks.
template <class T>
void load_weight(Context& ctx, Files& files, const std::vector<const TensorSource*>& parts,
                 const Weight<T>& w);

}  // namespace keyheads
