// Where the values of weights are: which bytes of which file fill which rows of which slot.
#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/staging.h"
#include "model/slots.h"
#include "ops/pack_stored.h"

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

  int64_t count() const { return rows[1] - rows[0]; }
  // The row or, transposed, the column of the stored matrix that is row n of this part.
  int64_t stored_index(int64_t n) const { return start + n / length * stride + n % length; }
};

// The files of one model, each opened once, and the memory through which they reach a device.
class Files {
 public:
  const File& at(const std::string& path);
  Staging& staging(Device& device);

 private:
  std::map<std::string, std::unique_ptr<File>> open_;
  std::unique_ptr<Staging> staging_;
};

// A type that files hold.
struct StoredType {
  const char* name;
  ops::Stored type;
  int64_t bytes;
};
// Throws BAD_CHECKPOINT for a type that is none of them.
const StoredType& stored_type(const TensorSource& source);

// A source as the matrix that its file holds, [first, second].
struct StoredMatrix {
  explicit StoredMatrix(const TensorSource& s)
      : first(s.shape.empty() ? 0 : s.shape[0]),
        second(s.shape.size() == 1   ? 1
               : s.shape.size() == 2 ? s.shape[1]
                                     : 0) {}
  int64_t first, second;
};

// Calls f(n, count, index) for runs of the part's rows [begin, end) that are neighbours in the
// file.
template <class F>
void for_runs(const TensorSource& s, int64_t begin, int64_t end, const F& f) {
  for (int64_t n = begin; n < end;) {
    const int64_t index = s.stored_index(n);
    int64_t count = 1;
    while (n + count < end && s.stored_index(n + count) == index + count) {
      const int64_t block = (n + count) % s.length == 0 ? s.length : 1;
      count += std::min(block, end - n - count);
    }
    f(n, count, index);
    n += count;
  }
}

// Throws BAD_CHECKPOINT unless these tensors, in ascending order of their rows, fill a slot of
// (n, k) and lie inside their files.
void check_sources(Files& files, const SlotRef& ref, int64_t n, int64_t k,
                   const std::vector<TensorSource>& parts);

}  // namespace keyheads
