// The resident copy of a model's weights, packed for the GEMM. A vector is a one-column matrix,
// whose panels are the vector itself; it is stored in full, matrices as the model is asked to. A
// matrix may still be in its files only: whoever wants it packed has it read then.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/memory.h"
#include "base/view.h"
#include "model/slots.h"
#include "model/source.h"
#include "model/spec.h"

namespace keyheads {

template <class T>
class Parameter;

// Added to a matrix W (n, k) wherever it is multiplied: scale B A.
template <class T>
struct LowRank {
  const Parameter<T>* a;  // (rank, k)
  const Parameter<T>* b;  // (n, rank)
  T scale;
};

// Values that are in files and nowhere else yet.
struct Unread {
  std::shared_ptr<Files> files;
  std::vector<TensorSource> parts;
  // A product was computed from the files, or rows were read: the next time, the values are packed.
  bool multiplied = false, looked_up = false;
};

// Of a weight where it lies: panels have whole panels of rows, which devices do without.
template <class T>
int64_t stored_bytes(const Context& ctx, const Weight<T>& w);

template <class T>
class Parameter {
 public:
  // Takes the memory; the values are for the caller to fill, or to be read.
  Parameter(const Context& ctx, SlotRef ref, int64_t n, int64_t k, Storage storage,
            std::optional<Unread> unread = {});

  const SlotRef ref;
  std::optional<LowRank<T>> low_rank;

  int64_t n() const { return w_.n; }
  int64_t k() const { return w_.k; }
  Storage storage() const { return w_.storage; }
  // The packed values, which are read first if they are not yet. Throws CANCELLED, and
  // BAD_CHECKPOINT if a file has changed since the model was opened.
  const Weight<T>& weight(Context& ctx) const;
  // The same of a weight that was asked for before.
  const Weight<T>& packed() const { return w_; }
  // of a one-column weight, which is read at once and stored in full
  const T* vector() const { return w_.full().data; }

  // Null once the values are packed.
  Unread* unread() const { return unread_ ? &*unread_ : nullptr; }

 private:
  Weight<T> w_;
  std::shared_ptr<void> hold_;
  mutable std::optional<Unread> unread_;  // of the engine thread
};

template <class T>
struct MlpWeights {
  const Parameter<T>*w_gate, *w_up, *w_down, *b_gate, *b_up, *b_down;
};

// Null where the model has none. A shared norm is in both places.
template <class T>
struct LayerWeights {
  const Parameter<T>*attn_norm, *attn_norm_bias;
  const Parameter<T>*wq, *wk, *wv, *wo, *bq, *bk, *bv, *bo;
  const Parameter<T>*q_norm, *k_norm, *attn_post_norm;
  const Parameter<T>*mlp_norm, *mlp_norm_bias;
  MlpWeights<T> mlp;
  const Parameter<T>* mlp_post_norm;
  const Parameter<T>* router;
  std::vector<MlpWeights<T>> experts;
  const Parameter<T>* z_offset;  // (heads * d_head), added to what attention gives; usually none
};

template <class T>
class Weights {
 public:
  Weights(Context& ctx, const Spec& spec, const std::vector<TensorSource>& sources,
          Storage storage);

  // Null for a slot that this model does not have.
  const Parameter<T>* find(const SlotRef& ref) const;
  // Throws BAD_ARGUMENT for such a slot.
  const Parameter<T>& at(const SlotRef& ref) const;
  // The same, kept alive.
  std::shared_ptr<const Parameter<T>> share(const SlotRef& ref) const;

  // Additions that begin as zero: factors slot.loraA and slot.loraB of a layer's matrix, where A is
  // for the caller to fill, or a layer's zOffset. Kept in full, whatever the model's storage.
  // Throws BAD_ARGUMENT where there is one already.
  void add_low_rank(Context& ctx, const SlotRef& ref, int64_t rank, double scale);
  void add_z_offset(Context& ctx, int64_t layer, int64_t width);
  // Takes all of them away.
  void remove_additions();

  const Parameter<T>*embed, *pos_embed, *final_norm, *final_norm_bias, *unembed, *unembed_bias;
  std::vector<LayerWeights<T>> layers;

 private:
  Parameter<T>& add(Context& ctx, const SlotRef& ref, int64_t rows, int64_t cols);

  std::map<SlotRef, std::shared_ptr<Parameter<T>>> all_;
  std::vector<SlotRef> additions_;
};

extern template class Parameter<float>;
extern template class Parameter<double>;
extern template class Weights<float>;
extern template class Weights<double>;

// Row-major (out, in) values of a weight, and back; these are rounded as the weight is stored.
template <class T>
void read_parameter(Context& ctx, const Parameter<T>& parameter, T* out);
template <class T>
void write_parameter(Context& ctx, const Parameter<T>& parameter, const T* values);

}  // namespace keyheads
