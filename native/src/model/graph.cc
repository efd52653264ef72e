#include "model/graph.h"

#include <algorithm>

#include "model/stream.h"
#include "ops/activation.h"
#include "ops/attention_steps.h"
#include "ops/blocks.h"
#include "ops/elementwise.h"
#include "ops/embed.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/soft_cap.h"

namespace keyheads {

template <class T>
void contribute(Context& ctx, const Var<T>& x, Mat<const T> from) {
  bool accumulate;
  const Mat<T> target = x.grad->target(x.rows(), x.cols(), accumulate);
  if (accumulate) {
    ops::add_scaled(ctx, ops::AddScaled<T>{.y = target, .x = from, .factor = T(1)});
    return;
  }
  ops::copy_rows(ctx, target, from);
}
template void contribute(Context&, const Var<float>&, Mat<const float>);
template void contribute(Context&, const Var<double>&, Mat<const double>);

template <class T>
const typename Graph<T>::Slices* Graph<T>::slices_of(const Parameter<T>* p) const {
  if (!tape_ || !slices_ || !p) return nullptr;
  const auto found = slices_->find(p);
  return found == slices_->end() ? nullptr : &found->second;
}

template <class T>
Var<T> Graph<T>::result(Tensor<T> value, bool wants_gradient) const {
  return {std::move(value), tape_ && wants_gradient ? std::make_shared<Grad<T>>() : nullptr};
}

template <class T>
void Graph<T>::add_vector(const Slices& slices, const T* gradient) const {
  for (const auto& s : slices) {
    const int64_t n = s.n1 - s.n0;
    ops::add_scaled(ctx_, ops::AddScaled<T>{.y = {s.gradient.data, 1, n, n},
                                            .x = {gradient + s.n0, 1, n, n},
                                            .factor = T(1)});
  }
}

template <class T>
void Graph<T>::bias_backward(const Slices* slices, Mat<const T> dy) {
  if (!slices) return;
  for (const auto& s : *slices) {
    ops::linear_bias_grad(
        ctx_, ops::LinearBiasGrad<T>{.db = s.gradient.data, .dy = dy, .n0 = s.n0, .n1 = s.n1});
  }
}

template <class T>
Var<T> Graph<T>::embed(const Parameter<T>& w, const std::vector<int32_t>& ids, T factor) {
  Tensor<T> value(static_cast<int64_t>(ids.size()), w.k());
  look_up<T>(ctx_, value.m, w, ids.data(), factor);
  const Slices* slices = slices_of(&w);
  Var<T> y = result(std::move(value), slices != nullptr);
  if (y.grad) {
    tape_->record([this, y = y.shape(), slices, ids, factor] {
      if (!y.grad->tensor) return;
      for (const auto& s : *slices) {
        ops::embed_backward(ctx_, ops::EmbedBackward<T>{.dw = s.gradient,
                                                        .dy = y.grad->tensor.m,
                                                        .ids = ids.data(),
                                                        .n0 = s.n0,
                                                        .k0 = s.k0,
                                                        .factor = factor});
      }
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::add(const Var<T>& a, const Var<T>& b) {
  Tensor<T> value(a.rows(), a.cols());
  ops::add(ctx_, ops::Add<T>{.y = value.m, .a = a.m(), .b = b.m()});
  Var<T> y = result(std::move(value), a.grad || b.grad);
  if (y.grad) {
    tape_->record([this, a = a.shape(), b = b.shape(), y = y.shape()] {
      if (!y.grad->tensor) return;
      if (a.grad) contribute<T>(ctx_, a, y.grad->tensor.m);
      if (b.grad) contribute<T>(ctx_, b, y.grad->tensor.m);
    });
  }
  return y;
}

template <class T>
void Graph<T>::cross_entropy(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias,
                             const int32_t* targets, const T* weights, T* loss) {
  const Slices* weight_slices = slices_of(&w);
  const Slices* bias_slices = slices_of(bias);
  const bool wanted = tape_ && (x.grad || weight_slices || bias_slices);
  bool accumulate = false;
  const Mat<T> dx = wanted && x.grad ? x.grad->target(x.rows(), x.cols(), accumulate) : Mat<T>{};
  Tensor<T> logits(std::min(kLossRows, x.rows()), w.n());
  for (int64_t first = 0; first < x.rows(); first += kLossRows) {
    check_cancelled(ctx_);
    const int64_t rows = std::min(kLossRows, x.rows() - first);
    const Mat<const T> part{x.m().row(first), rows, x.cols(), x.m().stride};
    const Mat<T> here{logits.data(), rows, w.n(), w.n()};
    multiply<T>(ctx_, here, part, w, bias);
    ops::cross_entropy(ctx_, ops::CrossEntropy<T>{.loss = loss + first,
                                                  .dlogits = wanted ? here : Mat<T>{},
                                                  .logits = here,
                                                  .targets = targets + first,
                                                  .weights = weights + first});
    if (!wanted) continue;
    bias_backward(bias_slices, here);
    weight_backward(weight_slices, here, part);
    if (!dx.data) continue;
    ops::linear_input_grad(ctx_,
                           ops::LinearInputGrad<T>{.dx = {dx.row(first), rows, dx.cols, dx.stride},
                                                   .dy = here,
                                                   .w = w.weight(ctx_),
                                                   .accumulate = accumulate});
  }
}

template <class T>
void Graph<T>::weight_backward(const Slices* slices, Mat<const T> dy, Mat<const T> x) {
  if (!slices) return;
  for (const auto& s : *slices) {
    ops::linear_weight_grad(
        ctx_, ops::LinearWeightGrad<T>{.dw = s.gradient, .dy = dy, .x = x, .n0 = s.n0, .k0 = s.k0});
  }
}

template <class T>
bool Graph<T>::selects(int64_t layer) const {
  if (!slices_) return false;
  return std::any_of(slices_->begin(), slices_->end(),
                     [&](const auto& entry) { return entry.first->ref.layer == layer; });
}

template <class T>
Var<T> Graph<T>::linear(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias) {
  const Var<T> y = dense(x, w, bias);
  if (!w.low_rank) return y;
  const LowRank<T>& factors = *w.low_rank;
  return add_factor(y, dense(dense(x, *factors.a, nullptr), *factors.b, nullptr), factors.scale);
}

// The sum has y's memory and y's gradient: only that of u is another one.
template <class T>
Var<T> Graph<T>::add_factor(const Var<T>& y, const Var<T>& u, T factor) {
  ops::add_scaled(ctx_, ops::AddScaled<T>{.y = y.m(), .x = u.m(), .factor = factor});
  if (!u.grad) return y;
  const Var<T> sum{y.value, y.grad ? y.grad : std::make_shared<Grad<T>>()};
  tape_->record([this, sum = sum.shape(), u = u.shape(), factor] {
    if (!sum.grad->tensor) return;
    const Mat<const T> dy = sum.grad->tensor.m;
    Tensor<T> du = Tensor<T>::zeros(ctx_, dy.rows, dy.cols);
    ops::add_scaled(ctx_, ops::AddScaled<T>{.y = du.m, .x = dy, .factor = factor});
    contribute<T>(ctx_, u, du.m);
  });
  return sum;
}

template <class T>
Var<T> Graph<T>::dense(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias) {
  Tensor<T> value(x.rows(), w.n());
  multiply<T>(ctx_, value.m, x.m(), w, bias);
  const Slices* weight_slices = slices_of(&w);
  const Slices* bias_slices = slices_of(bias);
  Var<T> y = result(std::move(value), x.grad || weight_slices || bias_slices);
  if (y.grad) {
    tape_->record(
        [this, x = weight_slices ? x : x.shape(), y = y.shape(), &w, weight_slices, bias_slices] {
          if (!y.grad->tensor) return;
          const Mat<const T> dy = y.grad->tensor.m;
          bias_backward(bias_slices, dy);
          weight_backward(weight_slices, dy, x.m());
          if (x.grad) {
            bool accumulate;
            const Mat<T> dx = x.grad->target(x.rows(), x.cols(), accumulate);
            ops::linear_input_grad(
                ctx_, ops::LinearInputGrad<T>{
                          .dx = dx, .dy = dy, .w = w.weight(ctx_), .accumulate = accumulate});
          }
        });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::norm(const Var<T>& x, const Parameter<T>& gain, const Parameter<T>* bias,
                      const NormKind& kind) {
  if (tape_ && rules_.constant_norm_scales) {
    const auto [mean, scale] = norm_scale(x, kind);
    return norm_affine(norm_divide(x, mean, scale, kind), gain, bias, kind);
  }
  Tensor<T> value(x.rows(), x.cols()), mean(x.rows(), 1), scale(x.rows(), 1);
  ops::norm(ctx_, ops::Norm<T>{.y = value.m,
                               .mean = mean.data(),
                               .scale = scale.data(),
                               .x = x.m(),
                               .gain = gain.vector(),
                               .bias = bias ? bias->vector() : nullptr,
                               .offset = kind.offset,
                               .eps = kind.eps,
                               .centre = kind.centre});
  const Slices* gain_slices = slices_of(&gain);
  const Slices* bias_slices = slices_of(bias);
  Var<T> y = result(std::move(value), x.grad || gain_slices || bias_slices);
  if (y.grad) {
    tape_->record([this, x, y = y.shape(), mean, scale, &gain, gain_slices, bias_slices, kind] {
      if (!y.grad->tensor) return;
      const int64_t c = x.cols();
      Tensor<T> dgain = gain_slices ? Tensor<T>::zeros(ctx_, c, 1) : Tensor<T>();
      Tensor<T> dbias = bias_slices ? Tensor<T>::zeros(ctx_, c, 1) : Tensor<T>();
      bool accumulate = false;
      const Mat<T> dx = x.grad ? x.grad->target(x.rows(), c, accumulate) : Mat<T>{};
      ops::norm_backward(ctx_, ops::NormBackward<T>{.dx = dx,
                                                    .dgain = dgain.data(),
                                                    .dbias = dbias.data(),
                                                    .dy = y.grad->tensor.m,
                                                    .x = x.m(),
                                                    .mean = mean.data(),
                                                    .scale = scale.data(),
                                                    .gain = gain.vector(),
                                                    .offset = kind.offset,
                                                    .centre = kind.centre,
                                                    .accumulate = accumulate});
      if (gain_slices) add_vector(*gain_slices, dgain.data());
      if (bias_slices) add_vector(*bias_slices, dbias.data());
    });
  }
  return y;
}

template <class T>
typename Graph<T>::Scale Graph<T>::norm_scale(const Var<T>& x, const NormKind& kind) {
  Tensor<T> mean(x.rows(), 1), scale(x.rows(), 1);
  ops::norm_scale(ctx_, ops::NormScale<T>{.mean = mean.data(),
                                          .scale = scale.data(),
                                          .x = x.m(),
                                          .eps = kind.eps,
                                          .centre = kind.centre});
  Var<T> y = result(std::move(scale), x.grad && !rules_.constant_norm_scales);
  if (y.grad) {
    tape_->record([this, x, y, mean] {
      if (!y.grad->tensor) return;
      Tensor<T> dx = Tensor<T>::zeros(ctx_, x.rows(), x.cols());
      ops::norm_scale_backward(ctx_, ops::NormScaleBackward<T>{.dx = dx.m,
                                                               .dscale = y.grad->tensor.data(),
                                                               .x = x.m(),
                                                               .mean = mean.data(),
                                                               .scale = y.value.data()});
      contribute<T>(ctx_, x, dx.m);
    });
  }
  return {mean, y};
}

template <class T>
Var<T> Graph<T>::norm_divide(const Var<T>& x, const Tensor<T>& mean, const Var<T>& scale,
                             const NormKind& kind) {
  Tensor<T> value(x.rows(), x.cols());
  ops::norm_divide(
      ctx_,
      ops::NormDivide<T>{
          .normalized = value.m, .x = x.m(), .mean = mean.data(), .scale = scale.value.data()});
  Var<T> y = result(std::move(value), x.grad || scale.grad);
  if (y.grad) {
    tape_->record([this, x, y, scale, kind] {
      if (!y.grad->tensor) return;
      Tensor<T> dx(x.rows(), x.cols()), dscale(x.rows(), 1);
      ops::norm_divide_backward(ctx_, ops::NormDivideBackward<T>{.dx = dx.m,
                                                                 .dscale = dscale.data(),
                                                                 .dnormalized = y.grad->tensor.m,
                                                                 .normalized = y.m(),
                                                                 .scale = scale.value.data(),
                                                                 .centre = kind.centre});
      if (x.grad) contribute<T>(ctx_, x, dx.m);
      if (scale.grad) contribute<T>(ctx_, scale, dscale.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::norm_affine(const Var<T>& n, const Parameter<T>& gain, const Parameter<T>* bias,
                             const NormKind& kind) {
  Tensor<T> value(n.rows(), n.cols());
  ops::norm_affine(ctx_, ops::NormAffine<T>{.y = value.m,
                                            .normalized = n.m(),
                                            .gain = gain.vector(),
                                            .bias = bias ? bias->vector() : nullptr,
                                            .offset = kind.offset});
  const Slices* gain_slices = slices_of(&gain);
  const Slices* bias_slices = slices_of(bias);
  Var<T> y = result(std::move(value), n.grad || gain_slices || bias_slices);
  if (y.grad) {
    tape_->record([this, n, y = y.shape(), &gain, gain_slices, bias_slices, kind] {
      if (!y.grad->tensor) return;
      Tensor<T> dgain = Tensor<T>::zeros(ctx_, n.cols(), 1),
                dbias = Tensor<T>::zeros(ctx_, n.cols(), 1);
      Tensor<T> dn(n.rows(), n.cols());
      ops::norm_affine_backward(ctx_, ops::NormAffineBackward<T>{.dnormalized = dn.m,
                                                                 .dgain = dgain.data(),
                                                                 .dbias = dbias.data(),
                                                                 .dy = y.grad->tensor.m,
                                                                 .normalized = n.m(),
                                                                 .gain = gain.vector(),
                                                                 .offset = kind.offset});
      if (gain_slices) add_vector(*gain_slices, dgain.data());
      if (bias_slices) add_vector(*bias_slices, dbias.data());
      if (n.grad) contribute<T>(ctx_, n, dn.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::rotary(const Var<T>& x, const std::vector<int32_t>& positions,
                        const RotaryTables<T>& tables, int64_t heads, bool adjacent) {
  const auto rotate = [this, positions, tables, heads, adjacent](Mat<const T> from, Mat<T> to,
                                                                 int sign) {
    ops::rotary(ctx_, ops::Rotary<T>{.y = to,
                                     .x = from,
                                     .positions = positions.data(),
                                     .cosines = tables.cosines.data(),
                                     .sines = tables.sines.data(),
                                     .heads = heads,
                                     .width = from.cols / heads,
                                     .half = tables.cosines.cols(),
                                     .adjacent = adjacent,
                                     .sign = sign});
  };
  Tensor<T> value(x.rows(), x.cols());
  rotate(x.m(), value.m, 1);
  Var<T> y = result(std::move(value), x.grad != nullptr);
  if (y.grad) {
    tape_->record([this, x = x.shape(), y = y.shape(), rotate] {
      if (!y.grad->tensor) return;
      Tensor<T> dx(x.rows(), x.cols());
      rotate(y.grad->tensor.m, dx.m, -1);
      contribute<T>(ctx_, x, dx.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::activate(const Var<T>& x, const Var<T>& linear, ops::Activation kind) {
  Tensor<T> value(x.rows(), x.cols());
  ops::activate(ctx_,
                ops::Activate<T>{.y = value.m, .x = x.m(), .linear = linear.m(), .kind = kind});
  Var<T> y = result(std::move(value), x.grad || linear.grad);
  if (y.grad) {
    tape_->record([this, x, linear, y = y.shape(), kind] {
      if (!y.grad->tensor) return;
      Tensor<T> dx(x.rows(), x.cols()), dlinear;
      if (linear.value) dlinear = Tensor<T>(x.rows(), x.cols());
      ops::activate_backward(ctx_, ops::ActivateBackward<T>{.dx = dx.m,
                                                            .dlinear = dlinear.m,
                                                            .dy = y.grad->tensor.m,
                                                            .x = x.m(),
                                                            .linear = linear.m(),
                                                            .kind = kind,
                                                            .secant = rules_.secant_activations});
      if (x.grad) contribute<T>(ctx_, x, dx.m);
      if (linear.grad) contribute<T>(ctx_, linear, dlinear.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::soft_cap(const Var<T>& x, T cap) {
  if (cap == 0) return x;
  Tensor<T> value(x.rows(), x.cols());
  ops::soft_cap(ctx_, ops::SoftCap<T>{.y = value.m, .x = x.m(), .cap = cap});
  Var<T> y = result(std::move(value), x.grad != nullptr);
  if (y.grad) {
    tape_->record([this, x = x.shape(), y, cap] {
      if (!y.grad->tensor) return;
      Tensor<T> dx(x.rows(), x.cols());
      ops::soft_cap_backward(ctx_, ops::SoftCapBackward<T>{
                                       .dx = dx.m, .dy = y.grad->tensor.m, .y = y.m(), .cap = cap});
      contribute<T>(ctx_, x, dx.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::attention(const Var<T>& q, const Var<T>& k, const Var<T>& v, const Heads& a) {
  Tensor<T> value(q.rows(), q.cols());
  ops::attention(ctx_, ops::Attention<T>{.z = value.m,
                                         .q = q.m(),
                                         .k = k.m(),
                                         .v = v.m(),
                                         .segments = a.segments.data(),
                                         .segment_count = static_cast<int64_t>(a.segments.size()),
                                         .heads = a.heads,
                                         .groups = a.groups,
                                         .width = a.width,
                                         .scale = a.scale,
                                         .cap = a.cap,
                                         .window = a.window,
                                         .bf16 = a.bf16});
  const bool through_pattern = !rules_.constant_patterns;
  Var<T> y = result(std::move(value), (through_pattern && (q.grad || k.grad)) || v.grad);
  if (y.grad) {
    tape_->record([this, q, k, v, y = y.shape(), a, through_pattern] {
      if (!y.grad->tensor) return;
      Tensor<T> dq(q.rows(), q.cols()), dk(k.rows(), k.cols()), dv(v.rows(), v.cols());
      ops::attention_backward(
          ctx_, ops::AttentionBackward<T>{.dq = dq.m,
                                          .dk = dk.m,
                                          .dv = dv.m,
                                          .dz = y.grad->tensor.m,
                                          .q = q.m(),
                                          .k = k.m(),
                                          .v = v.m(),
                                          .segments = a.segments.data(),
                                          .segment_count = static_cast<int64_t>(a.segments.size()),
                                          .heads = a.heads,
                                          .groups = a.groups,
                                          .width = a.width,
                                          .scale = a.scale,
                                          .cap = a.cap,
                                          .window = a.window,
                                          .bf16 = a.bf16});
      if (through_pattern && q.grad) contribute<T>(ctx_, q, dq.m);
      if (through_pattern && k.grad) contribute<T>(ctx_, k, dk.m);
      if (v.grad) contribute<T>(ctx_, v, dv.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::attention_scores(const Var<T>& q, const Var<T>& k, const Heads& a,
                                  const std::vector<int64_t>& offsets, int64_t size) {
  Tensor<T> value(1, size);
  const auto count = static_cast<int64_t>(a.segments.size());
  ops::attention_scores(ctx_, ops::AttentionScores<T>{.scores = value.data(),
                                                      .q = q.m(),
                                                      .k = k.m(),
                                                      .segments = a.segments.data(),
                                                      .pattern_offsets = offsets.data(),
                                                      .segment_count = count,
                                                      .heads = a.heads,
                                                      .groups = a.groups,
                                                      .width = a.width,
                                                      .scale = a.scale,
                                                      .cap = a.cap,
                                                      .window = a.window,
                                                      .bf16 = a.bf16});
  Var<T> y = result(std::move(value), q.grad || k.grad);
  if (y.grad) {
    tape_->record([this, q, k, y, a, &offsets, count] {
      if (!y.grad->tensor) return;
      Tensor<T> dq(q.rows(), q.cols()), dk(k.rows(), k.cols());
      ops::attention_scores_backward(
          ctx_, ops::AttentionScoresBackward<T>{.dq = dq.m,
                                                .dk = dk.m,
                                                .dscores = y.grad->tensor.data(),
                                                .scores = y.value.data(),
                                                .q = q.m(),
                                                .k = k.m(),
                                                .segments = a.segments.data(),
                                                .pattern_offsets = offsets.data(),
                                                .segment_count = count,
                                                .heads = a.heads,
                                                .groups = a.groups,
                                                .width = a.width,
                                                .scale = a.scale,
                                                .cap = a.cap,
                                                .window = a.window,
                                                .bf16 = a.bf16});
      if (q.grad) contribute<T>(ctx_, q, dq.m);
      if (k.grad) contribute<T>(ctx_, k, dk.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::attention_softmax(const Var<T>& scores, const Heads& a,
                                   const std::vector<int64_t>& offsets) {
  Tensor<T> value(1, scores.cols());
  const auto count = static_cast<int64_t>(a.segments.size());
  ops::attention_softmax(ctx_, ops::AttentionSoftmax<T>{.pattern = value.data(),
                                                        .scores = scores.value.data(),
                                                        .segments = a.segments.data(),
                                                        .pattern_offsets = offsets.data(),
                                                        .segment_count = count,
                                                        .heads = a.heads});
  Var<T> y = result(std::move(value), scores.grad && !rules_.constant_patterns);
  if (y.grad) {
    tape_->record([this, scores = scores.shape(), y, a, &offsets, count] {
      if (!y.grad->tensor) return;
      Tensor<T> d(1, scores.cols());
      ops::attention_softmax_backward(
          ctx_, ops::AttentionSoftmaxBackward<T>{.dscores = d.data(),
                                                 .dpattern = y.grad->tensor.data(),
                                                 .pattern = y.value.data(),
                                                 .segments = a.segments.data(),
                                                 .pattern_offsets = offsets.data(),
                                                 .segment_count = count,
                                                 .heads = a.heads});
      contribute<T>(ctx_, scores, d.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::attention_mix(const Var<T>& pattern, const Var<T>& v, const Heads& a,
                               const std::vector<int64_t>& offsets) {
  Tensor<T> value(v.rows(), a.heads * a.width);
  const auto count = static_cast<int64_t>(a.segments.size());
  ops::attention_mix(ctx_, ops::AttentionMix<T>{.z = value.m,
                                                .pattern = pattern.value.data(),
                                                .v = v.m(),
                                                .segments = a.segments.data(),
                                                .pattern_offsets = offsets.data(),
                                                .segment_count = count,
                                                .heads = a.heads,
                                                .groups = a.groups,
                                                .width = a.width,
                                                .bf16 = a.bf16});
  Var<T> y = result(std::move(value), pattern.grad || v.grad);
  if (y.grad) {
    tape_->record([this, pattern, v, y = y.shape(), a, &offsets, count] {
      if (!y.grad->tensor) return;
      Tensor<T> dpattern(1, pattern.cols()), dv(v.rows(), v.cols());
      ops::attention_mix_backward(ctx_,
                                  ops::AttentionMixBackward<T>{.dpattern = dpattern.data(),
                                                               .dv = dv.m,
                                                               .dz = y.grad->tensor.m,
                                                               .v = v.m(),
                                                               .pattern = pattern.value.data(),
                                                               .segments = a.segments.data(),
                                                               .pattern_offsets = offsets.data(),
                                                               .segment_count = count,
                                                               .heads = a.heads,
                                                               .groups = a.groups,
                                                               .width = a.width,
                                                               .bf16 = a.bf16});
      if (pattern.grad) contribute<T>(ctx_, pattern, dpattern.m);
      if (v.grad) contribute<T>(ctx_, v, dv.m);
    });
  }
  return y;
}

template class Graph<float>;
template class Graph<double>;

}  // namespace keyheads
