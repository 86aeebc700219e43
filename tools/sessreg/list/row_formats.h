// Sessions and users as programs read them: JSON, CSV and tab-separated. All three write one list
// of fields, in the same order and by the same names.
//
// JSON is as json_text() and json_line() write it: ASCII only, and what is not UTF-8 is U+FFFD.
//
// CSV (RFC 4180) has a header line, and lines end in CR LF. Texts are escaped as for a terminal.
// One that begins with = + - or @ gets a ' before it, as spreadsheets would take it for a formula.
// What is null in JSON is empty.
//
// Tab-separated lines have no header, end in LF, and may get more fields at their end one day.
// Texts are escaped as for a terminal, so that no field holds a tab or a newline. What is null in
// JSON is "-", so that a shell's `read` does not take two tabs for one. A text that is just "-"
// becomes \x2d.
#pragma once

#include <string>

#include "sessreg/list/rows.h"

namespace sessreg {

enum class JsonForm { lines, one_line };

// Each appends one whole line, or in JSON an object without a newline after it. `indent`: of the
// object, for JsonForm::lines.
void append_json(std::string& out, const Row& row, JsonForm form, int indent);
void append_json(std::string& out, const UserRow& user, JsonForm form, int indent);
void append_csv(std::string& out, const Row& row);
void append_csv(std::string& out, const UserRow& user);
void append_tsv(std::string& out, const Row& row);
void append_tsv(std::string& out, const UserRow& user);

void append_csv_header(std::string& out, bool by_user);

}  // namespace sessreg
