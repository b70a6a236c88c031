#include "levels/registry/monitor_engine.h"

namespace epochly::levels {

kj::Maybe<kj::String> MonitorEngine::declines(run::Invocation& call) const { return nullptr; }

bool MonitorEngine::run(run::Invocation& call) { return call.callPlain(); }

}  // namespace epochly::levels
