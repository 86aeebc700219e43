#include "session/change.h"

namespace sessreg {

const char* text(Change change) {
  switch (change) {
    case Change::opened:
      return "opened";
    case Change::parked:
      return "parked";
    case Change::returned:
      return "returned";
    case Change::ending:
      return "ending";
    case Change::closed:
      return "closed";
    case Change::reserved:
      return "reserved";
    case Change::orphaned:
      return "orphaned";
    case Change::left:
      return "left";
    case Change::listed:
      return "listed";
    case Change::shown:
      return "shown";
    case Change::hidden:
      return "hidden";
  }
  return "unknown";
}

}  // namespace sessreg
