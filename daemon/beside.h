/* Where our other files are: beside this program when it runs from a build folder, else where they are installed. */
#pragma once

/* relative: to this program's folder. Free it. */
char *find_beside(const char *relative, const char *installed);
