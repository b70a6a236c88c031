#include "run/assignment.h"

#include "run/observer.h"

namespace epochly::run {

kj::StringPtr roleName(Role role) {
  constexpr const char* NAMES[ROLE_COUNT] = {"cpu", "io", "alone"};
  return NAMES[static_cast<uint>(role)];
}

kj::StringPtr outcomeName(Outcome outcome) {
  constexpr const char* NAMES[OUTCOME_COUNT] = {"value", "failure", "not_run", "died", "timeout", "cancelled", "dropped"};
  return NAMES[static_cast<uint>(outcome)];
}

}  // namespace epochly::run
