# The files of the page that the program holds, besides index.html: each is served as /page/NAME.
# What the report is made of, in an order in which nothing is used before it is there, and the rest.
set(PH_REPORT_MODULES dom.js figures.js colour.js tokens.js measures.js router.js crumbs.js heat.js charts.js
  across.js distribution.js answers.js box.js feature.js models.js block.js shell.js report.js)
set(PH_PAGE_FILES app.css ${PH_REPORT_MODULES} api.js ask.js find.js compare.js search.js texts.js app.js)
