// Catch2's own code, which is compiled once for all test programs. A program that has no main() of
// its own gets one that only runs the tests.
#pragma once

int run_catch(int argc, char** argv);
