"""The abstraction model of robust dataset learning: one robust feature, many weak ones, a linear student."""
