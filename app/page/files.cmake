# The files of the page that the program holds, besides index.html: each is served as /page/NAME.
set(PH_PAGE_FILES app.css app.js)
