// Level 0 as an engine: it takes every call and runs it as it is. The measuring is the host's, around every level alike.
#pragma once

#include "run/engine.h"

namespace epochly::levels {

class MonitorEngine final : public run::LevelEngine {
 public:
  Level level() const override { return Level::MONITOR; }
  kj::Maybe<kj::String> declines(run::Invocation& call) const override;
  bool run(run::Invocation& call) override;
};

}  // namespace epochly::levels
